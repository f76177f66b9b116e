//! The methods: one file for each shape, all with the same kind of signature. What features have in common is listed by
//! [`list`] and asked for by [`call`].

pub(crate) mod call;
pub(crate) mod cancelled;
pub(crate) mod discover;
pub(crate) mod initialize;
pub(crate) mod list;
pub(crate) mod listen;
pub(crate) mod set_level;
pub(crate) mod subscribe;
