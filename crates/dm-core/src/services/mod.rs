//! The services of the node that need nothing but ports.
