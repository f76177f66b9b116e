//! The pages of a list, put together: what can be used, and what was left out or put right.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ::mcp::era::Era;
use ::mcp::feature::Feature;
use ::mcp::header::encode_value;
use ::mcp::raw::{OwnedRaw, Raw};
use ::mcp::result::{CacheHint, cache_hint};
use ::mcp::tool::{self, InvalidTool, Tool};
use bytes::Bytes;
use http::header::HeaderValue;
use model::target::Limits;

use crate::error::{CallError, ListBound, Violation};
use crate::listing::{Dropped, Fault, Listed, Mended};

/// Characters of a name that nobody checked.
const LONGEST_BAD_NAME: usize = 64;

/// Pages taken so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) entries: Vec<Listed>,
    pub(super) by_name: HashMap<Arc<str>, usize>,
    pub(super) dropped: Vec<Dropped>,
    pub(super) mended: Vec<Mended>,
    pub(super) hint: Option<CacheHint>,
    /// The server gave cursors that lead nowhere.
    pub(super) stands_still: bool,
    pub(super) bytes: usize,
    /// With those that were dropped.
    count: usize,
    cursors: HashSet<Box<str>>,
}

impl Gathered {
    /// Takes the entries of a page; returns the cursor of the next one as JSON text, if there is one (UC-11).
    ///
    /// A server whose cursor was there before, or whose page has nothing but what was there before, stands still: its
    /// list is over.
    pub(super) fn take(
        &mut self,
        feature: Feature,
        result: &OwnedRaw,
        era: Era,
        limits: &Limits,
    ) -> Result<Option<Box<str>>, CallError> {
        self.bytes += result.bytes().len();
        if self.bytes > limits.list {
            return Err(CallError::ListTooLong(ListBound::Bytes));
        }
        let page = result.borrow();
        let listed = tool::listed(page, feature.word()).ok_or(Violation::ToolList)?;
        let hint = cache_hint(page);
        self.hint = Some(self.hint.map_or(hint, |before| CacheHint {
            ttl_ms: before.ttl_ms.min(hint.ttl_ms),
            // All pages have the same scope (TM-16); if not, the first one's holds.
            scope: before.scope,
        }));
        let before = self.entries.len();
        let mut any = false;
        for definition in listed {
            any = true;
            self.count += 1;
            if self.count > limits.tools {
                return Err(CallError::ListTooLong(ListBound::Tools));
            }
            let kept = feature.parse(definition, era).map_err(Fault::Invalid);
            if let Err(fault) = kept.and_then(|tool| self.keep(result.bytes(), tool)) {
                let name = definition
                    .get(feature.key())
                    .and_then(Raw::text)
                    .unwrap_or_default();
                self.dropped.push(Dropped {
                    name: name.chars().take(LONGEST_BAD_NAME).collect(),
                    fault,
                });
            }
        }
        let Some(cursor) = tool::next_cursor(page) else {
            return Ok(None);
        };
        let cursor: Box<str> = cursor.as_str().into();
        let nothing_new = any && self.entries.len() == before;
        if !self.cursors.insert(cursor.clone()) || nothing_new {
            self.stands_still = true;
            return Ok(None);
        }
        Ok(Some(cursor))
    }

    fn keep(&mut self, page: &Bytes, tool: Tool<'_>) -> Result<(), Fault> {
        let name: Arc<str> = tool.name.as_ref().into();
        if let Some(same) = self.by_name.get(&name).and_then(|at| self.entries.get(*at)) {
            // The very same tool again does no harm.
            let again = same.definition.borrow().as_str() == tool.definition;
            return if again { Ok(()) } else { Err(Fault::SameName) };
        }
        // What `encode_value` makes is always a header value.
        let name_header = HeaderValue::try_from(encode_value(&name).as_ref())
            .map_err(|_| Fault::Invalid(InvalidTool::InvalidName))?;
        // What is built from checked text is JSON, too.
        let owned = |text: String| {
            OwnedRaw::parse(text).map_err(|_| Fault::Invalid(InvalidTool::NotAnObject))
        };
        let definition = match tool.definition {
            std::borrow::Cow::Borrowed(text) => OwnedRaw::of(page, Raw::trusted(text)),
            std::borrow::Cow::Owned(text) => owned(text)?,
        };
        let legacy = tool.legacy.map(owned).transpose()?;
        self.mended
            .extend(tool.repairs.into_iter().map(|repair| Mended {
                name: Arc::clone(&name),
                repair,
            }));
        self.by_name.insert(Arc::clone(&name), self.entries.len());
        self.entries.push(Listed {
            name,
            definition,
            legacy,
            param_headers: tool.param_headers,
            name_header,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(pages: &[&str]) -> (Gathered, Vec<Option<String>>) {
        let mut gathered = Gathered::default();
        let cursors = pages.iter().map(|page| {
            let page = OwnedRaw::parse(*page).unwrap();
            let next = gathered.take(Feature::Tools, &page, Era::Session, &Limits::default());
            next.unwrap().map(String::from)
        });
        let cursors = cursors.collect();
        (gathered, cursors)
    }

    // UC-11
    #[test]
    fn a_list_that_stands_still_is_over() {
        let page = |tool: &str, next: &str| {
            format!(
                r#"{{"tools":[{{"name":"{tool}","inputSchema":{{"type":"object"}}}}],"nextCursor":{next}}}"#
            )
        };
        // The same cursor again, a circle, and cursors that change while the page does not.
        for (nexts, pages) in [
            ([r#""""#, r#""""#, r#""x""#], 2),
            ([r#""a""#, r#""b""#, r#""a""#], 3),
            (["1", "1", "2"], 2),
        ] {
            let pages_made: Vec<String> = nexts
                .iter()
                .enumerate()
                .map(|(at, next)| page(&format!("t{at}"), next))
                .collect();
            let pages_made: Vec<&str> = pages_made.iter().map(String::as_str).take(pages).collect();
            let (gathered, cursors) = gather(&pages_made);
            assert_eq!(cursors.last(), Some(&None), "{nexts:?}");
            assert!(gathered.stands_still && gathered.entries.len() == pages);
        }
        let (gathered, cursors) = gather(&[&page("t", "1"), &page("t", "2")]);
        assert_eq!(cursors, [Some("1".to_owned()), None]);
        assert!(gathered.stands_still && gathered.dropped.is_empty());
    }

    #[test]
    fn a_page_without_tools_is_not_the_end() {
        let (gathered, cursors) =
            gather(&[r#"{"tools":null,"nextCursor":"a"}"#, r#"{"tools":[]}"#]);
        assert_eq!(cursors, [Some("\"a\"".to_owned()), None]);
        assert!(!gathered.stands_still);
    }

    /// Nanoseconds that this thread has run.
    fn cpu_time() -> u64 {
        let text = std::fs::read("/proc/thread-self/schedstat").unwrap();
        let text = String::from_utf8(text).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// The work that a page takes. The system counts in ticks, so that it is done until many have passed.
    fn work(page: &str) -> u64 {
        let page = OwnedRaw::parse(page).unwrap();
        let limits = Limits {
            tools: usize::MAX,
            list: usize::MAX,
            ..Limits::default()
        };
        let began = cpu_time();
        let mut times = 0;
        while cpu_time() - began < 60_000_000 {
            let mut gathered = Gathered::default();
            let _ = gathered.take(Feature::Tools, &page, Era::Stateless, &limits);
            times += 1;
        }
        (cpu_time() - began) / times
    }

    // SEC-82
    #[test]
    fn ten_times_the_list_is_at_most_fifteen_times_the_work() {
        fn many(n: usize, item: impl Fn(usize) -> String) -> String {
            (0..n).map(item).collect::<Vec<_>>().join(",")
        }
        fn tool(properties: &str) -> String {
            format!(
                r#"{{"name":"t","inputSchema":{{"type":"object","properties":{{{properties}}}}}}}"#
            )
        }
        type Shape = fn(usize) -> String;
        let shapes: [(&str, Shape); 9] = [
            ("annotated arguments", |n| {
                tool(&many(n, |i| {
                    format!(r#""p{i}":{{"type":"string","x-mcp-header":"H{i}"}}"#)
                }))
            }),
            ("annotations of one argument", |n| {
                let all = many(n, |i| format!(r#""x-mcp-header":"H{i}""#));
                tool(&format!(r#""p":{{"type":"string",{all}}}"#))
            }),
            ("annotations below a long name", |n| {
                let below = many(n, |i| {
                    format!(r#""p{i}":{{"type":"string","x-mcp-header":"H{i}"}}"#)
                });
                tool(&format!(
                    r#""{}":{{"properties":{{{below}}}}}"#,
                    "l".repeat(n * 20)
                ))
            }),
            ("arguments with escaped names", |n| {
                tool(&many(n, |i| format!(r#""\u0070{i}":{{"type":"string"}}"#)))
            }),
            ("tools", |n| {
                many(n, |i| {
                    format!(r#"{{"name":"t{i}","inputSchema":{{"type":"object"}}}}"#)
                })
            }),
            ("tools without a name", |n| many(n, |_| "{}".to_owned())),
            ("tools of one name", |n| {
                many(n, |i| {
                    format!(r#"{{"name":"t","inputSchema":{{"type":"object"}},"x":{i}}}"#)
                })
            }),
            ("members to be dropped", |n| {
                format!(
                    r#"{{"name":"t",{}}}"#,
                    many(n, |i| format!(r#""m{i}":null"#))
                )
            }),
            ("arguments to be mended", |n| {
                tool(&many(n, |i| format!(r#""p{i}":true"#)))
            }),
        ];
        for (what, shape) in shapes {
            let page = |n| format!(r#"{{"tools":[{}]}}"#, shape(n));
            let (small, large) = (work(&page(400)), work(&page(4_000)));
            assert!(large <= 15 * small, "{what}: {small} ns, then {large} ns");
        }
    }
}
