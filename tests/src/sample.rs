//! Figures of what was measured.

/// The value below which this part of the values lies, 0.5 for the median.
///
/// # Panics
/// Without values, or with some that have no order.
pub fn quantile<T: PartialOrd + Copy>(values: &[T], part: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| a.partial_cmp(b).expect("an order"));
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}
