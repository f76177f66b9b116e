//! Decisions: who may call what; the only maker of `Permitted`.
