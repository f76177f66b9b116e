//! The report for people (`text`), for machines (`json`, `junit`), and as a sequence diagram (`mermaid`, `svg`).

pub mod json;
pub mod junit;
pub mod mermaid;
pub mod svg;
pub mod text;
