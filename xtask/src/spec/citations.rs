//! Reads requirement ids out of a comment: single ones, lists (`SEC-16, 17`) and ranges (`CI-1 … CI-20`).

use super::chapters::CHAPTERS;

/// The most that one range may stand for; more is a slip of the pen.
const LONGEST_RANGE: u32 = 100;

/// All ids that a comment cites, in its order.
pub(super) fn parse(comment: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut rest = comment;
    while let Some((prefix, number, after)) = next_id(rest) {
        let mut last = number;
        ids.push(format!("{prefix}-{number}"));
        rest = after;
        // What may follow: more numbers of the same chapter, alone or after a sign of a range.
        while let Some((is_range, number, after)) = continuation(rest, prefix) {
            if is_range && number > last && number - last <= LONGEST_RANGE {
                ids.extend((last + 1..=number).map(|number| format!("{prefix}-{number}")));
            } else {
                ids.push(format!("{prefix}-{number}"));
            }
            last = number;
            rest = after;
        }
    }
    ids.dedup();
    ids
}

/// The first `PREFIX-NUMBER` of a chapter that we know, and what follows it.
fn next_id(text: &str) -> Option<(&'static str, u32, &str)> {
    CHAPTERS
        .iter()
        .filter_map(|(prefix, _)| {
            find(text, prefix).map(|(at, number, after)| (at, *prefix, number, after))
        })
        .min_by_key(|(at, ..)| *at)
        .map(|(_, prefix, number, after)| (prefix, number, after))
}

fn find<'a>(text: &'a str, prefix: &str) -> Option<(usize, u32, &'a str)> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(prefix)?;
        from = at + prefix.len();
        let before = text.get(..at)?.chars().next_back();
        let after = text.get(from..)?;
        if before.is_some_and(|character| {
            character.is_alphanumeric() || character == '-' || character == '_'
        }) {
            continue;
        }
        if let Some((number, after)) = after.strip_prefix('-').and_then(leading_number) {
            return Some((at, number, after));
        }
    }
}

/// `, 17`, `/17`, ` and SEC-17`: one more; ` … 20`, `–20`, `..CI-20`: all up to it.
fn continuation<'a>(text: &'a str, prefix: &str) -> Option<(bool, u32, &'a str)> {
    const RANGE: &[&str] = &["…", "...", "..", "–", "—", "-", "to "];
    const LIST: &[&str] = &[",", "/", "and ", "&", "+"];
    let trimmed = text.trim_start();
    let sign = |signs: &[&str]| signs.iter().find_map(|sign| trimmed.strip_prefix(sign));
    let (is_range, rest) = match (sign(RANGE), sign(LIST)) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return None,
    };
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
    if let Some((number, after)) = rest
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(leading_number)
    {
        return Some((is_range, number, after));
    }
    let (number, after) = leading_number(rest)?;
    // A bare number counts only where it can be nothing else: `SEC-26, 5 s` names no SEC-5.
    let follows = after.trim_start();
    let ends = follows.is_empty()
        || follows.starts_with([',', ';', ':', ')', ']', '–', '…', '/', '+', '&'])
        || follows.starts_with("and ");
    let ends = ends || (after.starts_with('.') && after.trim_start_matches('.').trim().is_empty());
    ends.then_some((is_range, number, after))
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, after) = text.split_at_checked(end)?;
    if after.starts_with(|character: char| character.is_alphanumeric() || character == '_') {
        return None;
    }
    Some((digits.parse().ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ids_are_read() {
        assert_eq!(parse("SEC-21, CI-15"), ["SEC-21", "CI-15"]);
        assert_eq!(parse("the rule of [AS-28]."), ["AS-28"]);
    }

    #[test]
    fn a_list_may_drop_the_letters() {
        assert_eq!(parse("SEC-12, 16, 17"), ["SEC-12", "SEC-16", "SEC-17"]);
        assert_eq!(parse("SEC-16 and 17: headers"), ["SEC-16", "SEC-17"]);
        assert_eq!(parse("TM-4/5"), ["TM-4", "TM-5"]);
    }

    #[test]
    fn a_range_stands_for_all_of_it() {
        assert_eq!(parse("CI-1 … CI-3"), ["CI-1", "CI-2", "CI-3"]);
        assert_eq!(
            parse("SEC-17–19, SEC-22"),
            ["SEC-17", "SEC-18", "SEC-19", "SEC-22"]
        );
        assert_eq!(parse("RS-1..RS-2"), ["RS-1", "RS-2"]);
    }

    #[test]
    fn a_number_that_measures_something_is_no_id() {
        assert_eq!(parse("SEC-26, 5 s for the whole fetch"), ["SEC-26"]);
        assert_eq!(parse("CI-16: 5121 bytes"), ["CI-16"]);
        assert_eq!(parse("CI-5, 200 only"), ["CI-5"]);
    }

    #[test]
    fn other_words_with_dashes_are_no_ids() {
        assert!(parse("BASE-64, PBAS-3, ES256, RFC-7636, as-1").is_empty());
        assert!(parse("SEC-2a").is_empty());
    }
}
