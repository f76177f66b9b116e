//! Turns the configuration into what the crates that do the work understand, and reports what they object to.

pub(crate) mod document;
pub(crate) mod egress;
pub(crate) mod files;
pub(crate) mod gateway;
mod headers;
pub(crate) mod listener;
pub(crate) mod realm;
pub(crate) mod storage;

use std::fmt::Display;
use std::str::FromStr;

use crate::config::problem::Problems;

/// Parses a text with the grammar of whoever uses it; an error is noted at `path`.
fn parse<T>(text: &str, path: &str, problems: &mut Problems<'_>) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse()
        .map_err(|error: T::Err| {
            problems.note(path, format!("`{text}` can't be used: {error}"), None);
        })
        .ok()
}

/// Parses each text of a list; errors are noted at `path[index]`.
fn parse_all<T>(texts: &[String], path: &str, problems: &mut Problems<'_>) -> Vec<T>
where
    T: FromStr,
    T::Err: Display,
{
    texts
        .iter()
        .enumerate()
        .filter_map(|(index, text)| parse(text, &format!("{path}[{index}]"), problems))
        .collect()
}
