//! Pages of a list, made once per change: a request for one is a copy of bytes (TM-16, UC-11).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp::era::Era;
use mcp::feature::Feature;
use mcp::raw::write_string;
use mcp::result::{CacheHint, modern_members};

/// A page ends early when it has this many bytes.
const PAGE_BYTES: usize = 512 * 1024;

/// The `result` of `tools/list` or the like, in each era.
#[derive(Debug)]
pub(crate) struct Page {
    modern: Bytes,
    legacy: Bytes,
}

impl Page {
    pub(crate) fn result(&self, era: Era) -> &Bytes {
        match era {
            Era::Stateless => &self.modern,
            Era::Session => &self.legacy,
        }
    }
}

/// A definition as clients get it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    /// In the stateless era.
    pub(crate) modern: Bytes,
    /// In the session era, if that is another.
    pub(crate) legacy: Option<Bytes>,
}

impl Shown {
    fn in_era(&self, era: Era) -> &[u8] {
        match (era, &self.legacy) {
            (Era::Session, Some(legacy)) => legacy,
            _ => &self.modern,
        }
    }
}

/// All pages; at least one, even without tools.
pub(crate) fn build(
    feature: Feature,
    definitions: &[&Shown],
    page_size: usize,
    hint: CacheHint,
    server_info: &str,
) -> Vec<Page> {
    let modern_end = modern_members(Some(hint), server_info);
    let groups = groups(definitions, page_size);
    let last = groups.len().saturating_sub(1);
    let pages = groups.iter().enumerate().map(|(index, group)| {
        let next = (index < last).then(|| cursor(index + 1));
        let in_era = |era, end: &str| {
            let mut result = format!(r#"{{"{}":["#, feature.word());
            for (position, definition) in group.iter().enumerate() {
                if position > 0 {
                    result.push(',');
                }
                result.push_str(std::str::from_utf8(definition.in_era(era)).unwrap_or("{}"));
            }
            result.push(']');
            if let Some(next) = &next {
                result.push_str(r#","nextCursor":"#);
                write_string(&mut result, next);
            }
            result.push_str(end);
            result.push('}');
            Bytes::from(result)
        };
        Page {
            modern: in_era(Era::Stateless, &modern_end),
            legacy: in_era(Era::Session, ""),
        }
    });
    pages.collect()
}

fn groups<'a, 'd>(definitions: &'a [&'d Shown], page_size: usize) -> Vec<&'a [&'d Shown]> {
    let mut groups = Vec::new();
    let mut rest = definitions;
    loop {
        let mut bytes = 0;
        let fitting = rest.iter().take(page_size).take_while(|definition| {
            bytes += definition.modern.len();
            bytes <= PAGE_BYTES
        });
        let (group, after) = rest
            .split_at_checked(fitting.count().max(1))
            .unwrap_or((rest, &[]));
        groups.push(group);
        if after.is_empty() {
            return groups;
        }
        rest = after;
    }
}

fn cursor(index: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("page:{index}"))
}

/// The page that a cursor names; none if it is not one of ours.
pub(crate) fn index(text: &str) -> Option<usize> {
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    let index = std::str::from_utf8(&decoded)
        .ok()?
        .strip_prefix("page:")?
        .parse()
        .ok()?;
    (cursor(index) == text && index > 0).then_some(index)
}

#[cfg(test)]
mod tests {
    use mcp::raw::Raw;
    use mcp::result::CacheScope;
    use mcp::tool;

    use super::*;

    const HINT: CacheHint = CacheHint {
        ttl_ms: 60_000,
        scope: CacheScope::Private,
    };

    fn shown(definition: impl Into<Bytes>) -> Shown {
        Shown {
            modern: definition.into(),
            legacy: None,
        }
    }

    fn pages(count: usize, size: usize) -> Vec<Page> {
        let definitions: Vec<Shown> = (0..count)
            .map(|n| shown(format!(r#"{{"name":"t{n}"}}"#)))
            .collect();
        let definitions: Vec<&Shown> = definitions.iter().collect();
        build(Feature::Tools, &definitions, size, HINT, "{}")
    }

    fn names(page: &Page, era: Era) -> (usize, Option<String>) {
        let text = std::str::from_utf8(page.result(era)).unwrap();
        let raw = Raw::parse(text).unwrap();
        (
            tool::listed(raw, "tools").unwrap().count(),
            tool::next_cursor(raw).and_then(Raw::text).map(Into::into),
        )
    }

    #[test]
    fn every_tool_is_on_one_page_and_cursors_lead_through_them() {
        let pages = pages(7, 3);
        assert_eq!(pages.len(), 3);
        let (first, next) = names(&pages[0], Era::Session);
        assert_eq!((first, index(&next.unwrap())), (3, Some(1)));
        let (second, next) = names(&pages[1], Era::Stateless);
        assert_eq!((second, index(&next.unwrap())), (3, Some(2)));
        assert_eq!(names(&pages[2], Era::Session), (1, None));
    }

    #[test]
    fn without_tools_there_is_one_empty_page() {
        let pages = pages(0, 3);
        assert_eq!(pages.len(), 1);
        assert_eq!(names(&pages[0], Era::Stateless), (0, None));
    }

    // TM-16
    #[test]
    fn modern_pages_say_how_long_they_are_fresh() {
        let page = pages(0, 3).remove(0);
        insta::assert_snapshot!(
            std::str::from_utf8(page.result(Era::Stateless)).unwrap(),
            @r#"{"tools":[],"resultType":"complete","ttlMs":60000,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#
        );
        insta::assert_snapshot!(std::str::from_utf8(page.result(Era::Session)).unwrap(), @r#"{"tools":[]}"#);
    }

    #[test]
    fn each_era_gets_its_own_definition() {
        let both = Shown {
            modern: Bytes::from_static(b"{\"a\":1}"),
            legacy: Some(Bytes::from_static(b"{\"a\":2}")),
        };
        let page = build(Feature::Tools, &[&both], 1, HINT, "{}").remove(0);
        assert_eq!(page.result(Era::Session), r#"{"tools":[{"a":2}]}"#);
        assert!(
            page.result(Era::Stateless)
                .starts_with(br#"{"tools":[{"a":1}],"#)
        );
    }

    // UC-11
    #[test]
    fn other_cursors_are_not_ours() {
        for cursor in ["", "x", "cGFnZTox=", "cGFnZTow", "cGFnZTowMQ", "cGFnZTotMQ"] {
            assert_eq!(index(cursor), None, "{cursor}");
        }
        assert_eq!(index("cGFnZTox"), Some(1));
    }

    #[test]
    fn large_definitions_make_small_pages() {
        let large = shown(vec![b'1'; PAGE_BYTES]);
        let definitions = vec![&large; 3];
        assert_eq!(groups(&definitions, 100).len(), 3);
    }
}
