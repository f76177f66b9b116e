//! Answers, made and read.

pub mod authorization;
pub mod token;
