//! For tests: an in-memory implementation of every port, and the conformance
//! suite that every adapter of a port runs in its own tests.
