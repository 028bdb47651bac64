//! Addresses and hashes that tests use.

/// An address in EIP-55 form that nobody in the tests signs for.
pub const RECIPIENT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// Another one.
pub const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// A data hash that nothing has.
pub const NO_DATA: &str = "00000000000000000000000000000000000000000000000000000000000000ff";
