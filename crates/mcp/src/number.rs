//! Numbers as text, in whichever spelling.

/// An integer in any spelling, within the range that JavaScript holds exactly.
pub(crate) fn integer(text: &str) -> Option<i64> {
    const LIMIT: i64 = (1 << 53) - 1;
    if let Ok(number) = text.parse::<i64>() {
        return (-LIMIT..=LIMIT).contains(&number).then_some(number);
    }
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "the limit is exactly representable"
    )]
    let in_range = number.abs() <= LIMIT as f64 && number.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, reason = "an integer within ±2⁵³")]
    in_range.then_some(number as i64)
}
