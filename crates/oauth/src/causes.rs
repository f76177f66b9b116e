//! An error and what caused it.

use std::error::Error;

/// An error and its causes, the nearest first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// An error with its causes on one line: for operators and their logs, not for whoever gets the answer. The last cause is
/// usually the one that helps. Some errors say their causes themselves; then those are not said again.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for one in causes(error) {
        let said = one.to_string();
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Because(&'static str, Option<Box<Self>>);

    impl std::fmt::Display for Because {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Because {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn every_cause_is_said_once() {
        for (said, together) in [
            (&["a"][..], "a"),
            (&["not written", "disk full"], "not written: disk full"),
            (
                &["not written: disk full", "disk full"],
                "not written: disk full",
            ),
            (
                &["no pool (refused, late)", "refused", "os error 111"],
                "no pool (refused, late): os error 111",
            ),
            (&["", "a", "", "b"], "a: b"),
        ] {
            let error = said
                .iter()
                .rev()
                .fold(None, |cause, said| Some(Box::new(Because(said, cause))));
            assert_eq!(with_causes(&*error.unwrap()), together, "{said:?}");
        }
    }
}
