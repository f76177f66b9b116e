//! Decisions: who may call what; the only maker of [`permitted::Permitted`].
//!
//! Everything here is pure: a decision is a function of the policies, of what is known about the
//! caller, and of the call itself. No I/O, no clock.
//!
//! | Module | What for |
//! |---|---|
//! | [`decide`] | [`decide::Policies`]: what a gateway is configured with, and the decision itself |
//! | [`permitted`] | [`permitted::Permitted`]: the proof that a call was decided about |
//! | [`call`] | [`call::Call`]: what a decision is about |
//! | [`facts`] | [`facts::CallerFacts`]: where a request came from and how |
//! | [`resource`] | resource policies in AWS's JSON form: parse them, evaluate them |
//!
//! To add one more condition key: a variant in [`resource::condition::Key`], its line in the table
//! of names there, and the fact it reads in [`facts::CallerFacts`]. To add one more operator: a
//! line in the table of operators in [`resource::condition`].
//!
//! To add one more kind of policy: a field in [`decide::Policies`], asked in
//! [`decide::Policies::decide`] before a [`permitted::Permitted`] is made.

pub mod call;
pub mod decide;
pub mod facts;
pub mod permitted;
pub mod resource;
