//! The product's nouns, their state machines, and the rules that several services share; no I/O.
