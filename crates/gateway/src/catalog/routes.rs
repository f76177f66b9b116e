//! Where a resource is that no list names: at the target with the template that its URI fits best.

/// Templates of URIs, each with where it leads. The first that fits a URI does.
#[derive(Debug)]
pub(crate) struct Routes<T>(Vec<(Template, T)>);

/// What a URI of a template (RFC 6570) must have, in this order: the texts around its expressions. What expressions may
/// become is left to the target, which says whether there is such a resource.
#[derive(Debug)]
struct Template {
    /// Up to the first expression.
    start: Box<str>,
    /// Between expressions.
    between: Vec<Box<str>>,
    /// After the last one; `None` without expressions, where the start is all.
    end: Option<Box<str>>,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Routes<T> {
    /// Those of these templates. What a template says up to its first expression counts: the longer, the sooner it is tried;
    /// of equals, the first one.
    pub(crate) fn of<'a>(templates: impl Iterator<Item = (&'a str, T)>) -> Self {
        let routes = templates.map(|(template, to)| (Template::of(template), to));
        let mut routes: Vec<_> = routes.collect();
        routes.sort_by_key(|(template, _)| std::cmp::Reverse(template.start.len()));
        Self(routes)
    }

    /// Where a URI leads.
    pub(crate) fn find(&self, uri: &str) -> Option<&T> {
        let mut routes = self.0.iter();
        routes
            .find(|(template, _)| template.fits(uri))
            .map(|(_, to)| to)
    }
}

impl Template {
    fn of(text: &str) -> Self {
        let mut texts: Vec<Box<str>> = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((_expression, after)) = after.split_once('}') else {
                break;
            };
            texts.push(before.into());
            rest = after;
        }
        let mut texts = texts.into_iter();
        match texts.next() {
            None => Self {
                start: text.into(),
                between: Vec::new(),
                end: None,
            },
            Some(start) => Self {
                start,
                between: texts.filter(|text| !text.is_empty()).collect(),
                end: Some(rest.into()),
            },
        }
    }

    /// Whether a URI may be one of these. It is looked through once.
    fn fits(&self, uri: &str) -> bool {
        let Some(rest) = uri.strip_prefix(&*self.start) else {
            return false;
        };
        let Some(end) = &self.end else {
            return rest.is_empty();
        };
        let Some(mut rest) = rest.strip_suffix(&**end) else {
            return false;
        };
        self.between.iter().all(|text| {
            rest.split_once(&**text)
                .map(|(_, after)| rest = after)
                .is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_that_says_more_of_a_uri_is_tried_first() {
        let templates = [
            "{+any}",
            "db://{table}/{id}",
            "db://users/{id}",
            "db://users/{name}",
        ];
        let routes = Routes::of(templates.into_iter().zip(0..));
        for (uri, to) in [("db://users/7", 2), ("db://orders/7", 1), ("x", 0)] {
            assert_eq!(routes.find(uri), Some(&to), "{uri}");
        }
        assert_eq!(Routes::of([("a:{b}", ())].into_iter()).find("b:c"), None);
    }

    #[test]
    fn a_uri_fits_a_template_that_may_become_it() {
        for (template, fitting, others) in [
            (
                "file:///{+path}",
                &["file:///a/b", "file:///"][..],
                &["file://a", "http:///a", ""][..],
            ),
            (
                "db://{table}/rows/{id}?v=1",
                &["db://a/rows/7?v=1", "db:///rows/?v=1"],
                &["db://a/rows/7", "db://a/row/7?v=1", "db://rows/7?v=1"],
            ),
            ("a:b", &["a:b"], &["a:bc", "a:"]),
            ("a:{b", &["a:{b"], &["a:c"]),
            ("{scheme}:x", &["a:x", ":x"], &["a:y"]),
        ] {
            let template = Template::of(template);
            assert!(fitting.iter().all(|uri| template.fits(uri)), "{template:?}");
            assert!(!others.iter().any(|uri| template.fits(uri)), "{template:?}");
        }
    }
}
