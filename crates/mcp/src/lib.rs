//! The MCP vocabulary, for server and client alike: JSON-RPC envelopes, protocol eras, headers, tools, SSE framing.
//!
//! Nothing here performs I/O, reads a clock or builds a tree of a message. A body is validated once, flatly, and
//! afterwards only looked at: every value stays the bytes it came as ([`raw::Raw`]), and a change is a splice
//! ([`edit::Change`]) that leaves unknown fields, key order, whitespace and number spellings alone.
//!
//! | File | What it knows |
//! |---|---|
//! | [`scan`] | the JSON grammar, without recursion |
//! | [`fold`] | names that a reader that ignores case takes for each other |
//! | [`raw`] | looking into validated JSON text |
//! | [`edit`] | replacing, adding, removing members of an object |
//! | [`jsonrpc`], [`answer`] | the envelope: parse, refuse, build; the envelope of a server, read generously |
//! | [`id`], [`method`], [`era`], [`error`] | request ids, method names, protocol versions, error codes |
//! | [`header`], [`param_header`] | mirrored headers: encode, decode, compare with the body |
//! | [`meta`], [`params`] | reserved `_meta` keys and a request's metadata; its parameters |
//! | [`capability`], [`tool`], [`mend`] | capability objects; tool definitions and their `x-mcp-header` annotations; what is put right in definitions, results and errors |
//! | [`result`] | what results look like in each era |
//! | [`input`] | what a server asks of a client in mid-call, in each era |
//! | [`sse`] | Server-Sent Events: incremental decoder, encoder |
//!
//! To add a method: a variant in [`method::Method`], its row in `Method::ALL`. To add a protocol revision: a variant in
//! [`era::ProtocolVersion`]; the compiler lists the rest.

pub mod scan;

pub mod fold;

pub mod raw;

mod number;

pub mod edit;

pub mod jsonrpc;

pub mod answer;

pub mod id;

pub mod input;

pub mod params;

pub mod method;

pub mod era;

pub mod error;
pub mod feature;

pub mod header;

pub mod param_header;

pub mod meta;

pub mod capability;

pub mod tool;

pub mod mend;

pub mod result;

pub mod sse;
