//! Sections of a document, each made by a chore of its own.

/// What `cargo xtask memory` measures.
pub(crate) const LEFT_OPEN: &str = "## What clients leave open";

/// What stands below a heading, with its subheadings; empty if it is not there.
pub(crate) fn of(document: &str, heading: &str) -> String {
    bounds(document, heading).map_or_else(String::new, |(start, end)| {
        document
            .get(start..end)
            .unwrap_or_default()
            .trim()
            .to_owned()
    })
}

/// The document with this below a heading, in its place or at the end.
pub(crate) fn put(document: &str, heading: &str, text: &str) -> String {
    if text.is_empty() {
        return document.to_owned();
    }
    let text = text.trim();
    let (before, after) = match bounds(document, heading) {
        Some((start, end)) => (
            document.get(..start).unwrap_or_default().trim_end(),
            document.get(end..).unwrap_or_default().trim(),
        ),
        None => (document.trim_end(), heading),
    };
    let (before, after) = if after == heading {
        (format!("{before}\n\n{heading}"), "")
    } else {
        (before.to_owned(), after)
    };
    let rest = if after.is_empty() {
        String::new()
    } else {
        format!("\n{after}\n")
    };
    format!("{before}\n\n{text}\n{rest}")
}

/// Where the text below a heading begins and ends.
fn bounds(document: &str, heading: &str) -> Option<(usize, usize)> {
    let start = document.find(&format!("\n{heading}\n"))? + heading.len() + 2;
    let rest = document.get(start..)?;
    let end = rest
        .find("\n## ")
        .map_or(document.len(), |at| start + at + 1);
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let document = "# A\n\n## B\n\none\n\n## C\n\ntwo\n";
        assert_eq!(of(document, "## B"), "one");
        assert_eq!(of(document, "## C"), "two");
        assert_eq!(of(document, "## D"), "");
        assert_eq!(
            put(document, "## B", "1"),
            "# A\n\n## B\n\n1\n\n## C\n\ntwo\n"
        );
        assert_eq!(
            put(document, "## C", "2"),
            "# A\n\n## B\n\none\n\n## C\n\n2\n"
        );
        let longer = put(document, "## D", "3");
        assert_eq!(longer, "# A\n\n## B\n\none\n\n## C\n\ntwo\n\n## D\n\n3\n");
        assert_eq!(put(&longer, "## D", "3"), longer);
        assert_eq!(put(document, "## D", ""), document);
    }
}
