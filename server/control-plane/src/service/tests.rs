//! Goal: one node is ready at once, keeps everything over restarts, and nothing assumes that it is alone. Method: real
//! files, real sockets, one process.

mod one_node;
