#include <raft/raft.h>
