//! The contract test.
