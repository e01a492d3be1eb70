//! Which renders of a model take about as long: those of about the same size and number of steps.

use crate::job::Request;

/// The class of a request; empty where it asks for neither a size nor steps.
pub fn of(request: &Request) -> String {
    class(request.width, request.height, request.steps)
}

/// The class of a size and a number of steps. Each class reaches from about 0.84 to 1.19 of its middle, so there are few.
pub fn class(width: Option<u32>, height: Option<u32>, steps: Option<u32>) -> String {
    let half_octave = |value: f64| (2.0 * value.log2()).round() / 2.0;
    let size =
        width.zip(height).filter(|(width, height)| *width > 0 && *height > 0).map(|(width, height)| {
            format!("{:.2} MP", half_octave(f64::from(width) * f64::from(height) / 1_048_576.0).exp2())
        });
    let steps = steps.filter(|steps| *steps > 0).map(|steps| {
        let middle = half_octave(f64::from(steps)).exp2().round();
        format!("{middle} steps")
    });
    [size, steps].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn about_the_same_size_and_steps_are_one_class() {
        let of = |width, height, steps| class(Some(width), Some(height), steps);
        assert_eq!(of(1024, 1024, Some(28)), "1.00 MP, 32 steps");
        assert_eq!(of(1024, 1024, Some(28)), of(1152, 896, Some(30)));
        assert_ne!(of(1024, 1024, None), of(1536, 1024, None));
        assert_ne!(of(1024, 1024, Some(20)), of(1024, 1024, Some(40)));
        assert_eq!(class(None, None, None), "");
        assert_eq!(class(Some(1024), None, Some(4)), "4 steps");
        assert_eq!(class(Some(0), Some(0), Some(0)), "");
    }

    #[test]
    fn whatever_is_asked_for_there_are_few_classes() {
        let sides = (0..15).flat_map(|i| [1 << i, 3 << i]).filter(|side| *side <= 16_384);
        let mut all: Vec<String> = sides
            .flat_map(|side| {
                (1..=10_000).step_by(97).map(move |steps| class(Some(side), Some(16_384), Some(steps)))
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() < 1000, "{}", all.len());
    }
}
