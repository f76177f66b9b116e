//! How long a fetched document may be used, by RFC 9111 and our own bounds.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// How long an answer with these headers is fresh, clamped to `[min, max]` (SEC-28, CI-11).
///
/// `no-store` and `no-cache` mean `min`: a document is never fetched more often than that.
pub(crate) fn lifetime(
    headers: &HeaderMap,
    min: Duration,
    max: Duration,
    wall: SystemTime,
) -> Duration {
    stated_lifetime(headers, wall)
        .unwrap_or(min)
        .clamp(min, max.max(min))
}

/// What the headers say; `None` when they say nothing. RFC 9111 §4.2.1, §4.2.3.
fn stated_lifetime(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let mut max_age = None;
    let mut shared_max_age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        let Ok(value) = value.to_str() else { continue };
        for directive in value.split(',') {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name, argument.trim().trim_matches('"')),
                None => (directive, ""),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                "max-age" => max_age = Some(seconds(argument)),
                "s-maxage" => shared_max_age = Some(seconds(argument)),
                _ => {}
            }
        }
    }
    let age = headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok())
        .map_or(Duration::ZERO, |value| seconds(value.trim()));
    if let Some(stated) = shared_max_age.or(max_age) {
        return Some(stated.saturating_sub(age));
    }
    let expires = headers.get(header::EXPIRES)?;
    // "0" and other invalid dates mean: already expired. RFC 9111 §5.3.
    let Some(expires) = date(expires) else {
        return Some(Duration::ZERO);
    };
    let from = headers.get(header::DATE).and_then(date).unwrap_or(wall);
    Some(
        expires
            .duration_since(from)
            .unwrap_or(Duration::ZERO)
            .saturating_sub(age),
    )
}

/// Delta-seconds; what is too large is very large, what is malformed is nothing. RFC 9111 §1.2.2.
fn seconds(text: &str) -> Duration {
    const LARGEST: u64 = 1 << 31;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    Duration::from_secs(text.parse().unwrap_or(LARGEST).min(LARGEST))
}

fn date(value: &http::HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const MIN: Duration = Duration::from_mins(1);
    const MAX: Duration = Duration::from_hours(24);

    fn lifetime_of(headers: &[(&'static str, &'static str)]) -> u64 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let wall = httpdate::parse_http_date("Sun, 22 Nov 2026 10:00:00 GMT").unwrap();
        lifetime(&map, MIN, MAX, wall).as_secs()
    }

    // SEC-28
    #[test]
    fn no_store_lives_as_short_as_allowed() {
        assert_eq!(lifetime_of(&[("cache-control", "no-store")]), 60);
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=900, no-cache")]),
            60
        );
    }

    // SEC-28
    #[test]
    fn a_huge_max_age_lives_as_long_as_allowed() {
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=999999999")]),
            86_400
        );
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=99999999999999999999999")]),
            86_400
        );
    }

    // CI-11, AS-11
    #[test]
    fn max_age_is_honored_less_the_age() {
        assert_eq!(
            lifetime_of(&[("cache-control", "public, Max-Age=\"600\"")]),
            600
        );
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=600"), ("age", "100")]),
            500
        );
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=600, s-maxage=300")]),
            300
        );
    }

    // CI-11, AS-11, CI-21
    #[test]
    fn expires_is_honored_when_there_is_no_max_age() {
        let expires = ("expires", "Sun, 22 Nov 2026 11:00:00 GMT");
        assert_eq!(lifetime_of(&[expires]), 3600);
        assert_eq!(
            lifetime_of(&[expires, ("date", "Sun, 22 Nov 2026 10:30:00 GMT")]),
            1800
        );
        assert_eq!(
            lifetime_of(&[expires, ("cache-control", "max-age=120")]),
            120
        );
        assert_eq!(lifetime_of(&[("expires", "0")]), 60);
    }

    #[test]
    fn silence_lives_as_short_as_allowed() {
        assert_eq!(lifetime_of(&[]), 60);
    }
}
