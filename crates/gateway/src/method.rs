//! The methods: one file each, all with the same kind of signature.

pub(crate) mod cancelled;
pub(crate) mod discover;
pub(crate) mod initialize;
pub(crate) mod listen;
pub(crate) mod tools_call;
pub(crate) mod tools_list;
