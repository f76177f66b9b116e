//! The report for people (`text`), for machines (`json`), and as a sequence diagram (`mermaid`, `svg`).

pub mod json;
pub mod mermaid;
pub mod svg;
pub mod text;
