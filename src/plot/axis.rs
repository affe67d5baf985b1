//! Ticks that people can read.

/// The most ticks of an axis.
const MOST: usize = 9;

/// Ticks of a logarithmic axis: 1, 2 and 5 of each decade where they have room, else the decades, or
/// some of them; round numbers where the axis is shorter than that.
pub fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let decades = |digits: &[f64], step: i32| -> Vec<f64> {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        (first..=last)
            .filter(|power| power.rem_euclid(step) == 0)
            .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
            .filter(|tick| (low..=high).contains(tick))
            .collect()
    };
    let fine = decades(&[1.0, 2.0, 5.0], 1);
    if fine.len() < 3 {
        return round(low, high);
    }
    let coarser = [1, 2, 3, 5, 10].into_iter().map(|step| decades(&[1.0], step));
    std::iter::once(fine)
        .chain(coarser)
        .find(|ticks| ticks.len() <= MOST)
        .unwrap_or_else(|| vec![low, high])
}

/// Ticks at round numbers: multiples of 1, 2 or 5 times a power of ten.
pub fn round(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    if !(raw.is_finite() && raw > 0.0) {
        return vec![low];
    }
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power);
    let step = step.into_iter().find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

/// A number with three significant digits and no more zeros than it needs: `0.00129`, `1,500`, `2.5`.
pub fn short(number: f64) -> String {
    let text = significant(number);
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", trimmed(digits)),
        None => trimmed(&text).to_owned(),
    }
}

/// A number with three significant digits, as those beside it: `0.920`, `1.00`, `1,500`.
pub fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let size = number.abs();
    if size >= 1000.0 {
        let text = crate::thousands::grouped(size.round() as u64);
        return if number < 0.0 { format!("-{text}") } else { text };
    }
    if size < 1e-4 {
        return format!("{number:.2e}");
    }
    let digits = (2 - size.log10().floor() as i32).max(0) as usize;
    format!("{number:.digits$}")
}

fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn logarithmic_axes_have_a_few_round_ticks() {
        assert_eq!(logarithmic(4_500.0, 108_000.0), [5e3, 1e4, 2e4, 5e4, 1e5]);
        // Not one power of ten in between.
        assert_eq!(logarithmic(21_000.0, 45_000.0), [25e3, 3e4, 35e3, 4e4, 45e3]);
        assert_eq!(logarithmic(1.0, 1e6).len(), 7);
        assert!(logarithmic(1e-18, 1.0).len() <= MOST);
    }

    #[test]
    fn numbers_are_short() {
        let said =
            [0.00129154967, 0.001, 1500.0, 2.5, 187.3, 12.34, 0.0, -0.5, 3.2e-7, 1e-5, 123456.0]
                .map(short);
        let wanted = [
            "0.00129", "0.001", "1,500", "2.5", "187", "12.3", "0", "-0.5", "3.2e-7", "1e-5",
            "123,456",
        ];
        assert_eq!(said, wanted);
        let said = [0.92, 1.0, 1.8, 12.0, 1e-5, 3_781.0].map(significant);
        assert_eq!(said, ["0.920", "1.00", "1.80", "12.0", "1.00e-5", "3,781"]);
    }

    proptest! {
        #[test]
        fn an_axis_has_some_ticks_but_never_many(low in 1e-12f64..1e12, ratio in 1.5f64..1e15) {
            let high = low * ratio;
            let ticks = logarithmic(low, high);
            prop_assert!((2..=MOST + 3).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
            let slack = 1.0 + 1e-9;
            prop_assert!(ticks.iter().all(|t| (low / slack..=high * slack).contains(t)));
        }
    }
}
