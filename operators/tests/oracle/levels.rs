//! Arithmetic that several rules need: rounding, E[T], the Wald barrier.

use barflow_operators::spec::ExpectedTicksSpec;

/// §3, step 4: keeps `bits` bits of the mantissa; 0 keeps all.
pub fn round(value: f64, bits: u32) -> f64 {
    if bits == 0 || bits == 52 || value == 0.0 {
        return value;
    }
    let d = 52 - bits;
    let u = value.to_bits();
    f64::from_bits(((u + (1 << (d - 1))) >> d) << d)
}

/// E[T] after a bar of `ticks` ticks, rounded where it moves.
pub fn expected_ticks(et: f64, ticks: u64, spec: &ExpectedTicksSpec, bits: u32) -> f64 {
    let Some(alpha) = spec.alpha else { return et };
    let moved = et + alpha * (ticks as f64 - et);
    let clamped = if moved < spec.min {
        spec.min
    } else if moved > spec.max {
        spec.max
    } else {
        moved
    };
    round(clamped, bits)
}

/// The `a` that solves a·tanh(a·k) = |mu|·et, k = |mu|/σ², by bisection.
///
/// It lies between max(|mu|·et, √(σ²·et)) and the sum of the two: tanh z < z and tanh z < 1 give
/// the first, tanh z ≥ z/(1+z) the second.
pub fn wald_barrier(mu: f64, variance: f64, et: f64) -> f64 {
    let drift = mu.abs() * et;
    let spread = (variance * et).sqrt();
    if variance == 0.0 {
        return drift;
    }
    let k = mu.abs() / variance;
    let (mut low, mut high) = (drift.max(spread), drift + spread);
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if middle * libm::tanh(middle * k) >= drift {
            high = middle;
        } else {
            low = middle;
        }
    }
    if mu == 0.0 { spread } else { high }
}
