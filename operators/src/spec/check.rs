//! Refuses parameters that are impossible, with the rule that each one breaks.

use super::*;

pub(super) fn check_limits(limits: &LimitSpec, rule: &RuleSpec, wrong: &mut Vec<Invalid>) {
    if limits.max_ticks == Some(0) {
        wrong.push(Invalid::new("max_ticks", 0, "must be at least 1"));
    }
    if let Some(duration) = limits.max_duration.filter(|duration| *duration <= 0) {
        wrong.push(Invalid::new("max_duration", format!("{duration} ns"), "must be longer than 0"));
    }
    if *limits != LimitSpec::default() && !rule.takes_limits() {
        let text = "applies only to tick, volume, dollar, imbalance and runs bars";
        for (key, is_set) in [
            ("max_ticks", limits.max_ticks.is_some()),
            ("max_duration", limits.max_duration.is_some()),
            ("reset", limits.utc_day),
        ] {
            if is_set {
                wrong.push(Invalid::new(key, "set", text));
            }
        }
    }
}

pub(super) fn check_rule(rule: &RuleSpec, wrong: &mut Vec<Invalid>) {
    match rule {
        RuleSpec::Time { every } | RuleSpec::FilledTime { every } => {
            if *every <= 0 {
                wrong.push(Invalid::new("every", format!("{every} ns"), "must be longer than 0"));
            }
        }
        RuleSpec::Size { size, .. } => positive("size", *size, wrong),
        #[cfg(feature = "compat")]
        RuleSpec::Finmlkit { size, .. } => positive("size", *size, wrong),
        RuleSpec::Imbalance { threshold, .. } => check_threshold(threshold, wrong),
        RuleSpec::Runs { threshold, .. } => {
            if let ThresholdSpec::Wald(_) = threshold {
                let rule =
                    "must be product or fixed for runs bars; wald is for imbalance bars only";
                wrong.push(Invalid::new("threshold", "wald", rule));
            }
            check_threshold(threshold, wrong);
        }
        #[cfg(feature = "compat")]
        RuleSpec::MlfinlabImbalance { params, .. } | RuleSpec::MlfinlabRuns { params, .. } => {
            check_mlfinlab(params, wrong);
        }
        #[cfg(feature = "compat")]
        RuleSpec::PredecessorHead { init_ticks, alpha_ticks, alpha_imbalance, time_reset } => {
            at_least_one("init_ticks", *init_ticks, wrong);
            share("alpha_ticks", *alpha_ticks, wrong);
            share("alpha_imbalance", *alpha_imbalance, wrong);
            positive("time_reset", *time_reset, wrong);
        }
        #[cfg(feature = "compat")]
        RuleSpec::PredecessorSeed { init_t, alpha_volume, alpha_imbalance } => {
            positive("init_t", *init_t, wrong);
            share("alpha_volume", *alpha_volume, wrong);
            share("alpha_imbalance", *alpha_imbalance, wrong);
        }
        #[cfg(feature = "compat")]
        RuleSpec::Nautilus(params) => check_nautilus(params, wrong),
    }
}

#[cfg(feature = "compat")]
fn check_mlfinlab(params: &MlfinlabSpec, wrong: &mut Vec<Invalid>) {
    at_least_one("num_prev_bars", params.num_prev_bars as u64, wrong);
    at_least_one("window", params.window as u64, wrong);
    let max = 1 << 24;
    for (key, value) in [("window", params.window), ("num_prev_bars", params.num_prev_bars)] {
        if value > max {
            let rule = format!("must be at most {max}: its values are kept in memory");
            wrong.push(Invalid::new(key, value, rule));
        }
    }
    positive("init", params.init, wrong);
    bounds(params.min, params.max, wrong);
}

#[cfg(feature = "compat")]
fn check_nautilus(params: &NautilusSpec, wrong: &mut Vec<Invalid>) {
    if params.step == 0 {
        wrong.push(Invalid::new("size", 0, "must be at least 1"));
    }
    for (key, value) in
        [("price_precision", params.price_precision), ("size_precision", params.size_precision)]
    {
        if value > 16 {
            wrong.push(Invalid::new(key, value, "must be 0 to 16 decimal places"));
        }
    }
    // So that no step and no trade's value leaves the machine's integers.
    let places = params.price_precision.saturating_add(params.size_precision);
    if places > 18 {
        let rule = "price_precision and size_precision must total at most 18";
        wrong.push(Invalid::new("size_precision", params.size_precision, rule));
    }
}

fn check_threshold(threshold: &ThresholdSpec, wrong: &mut Vec<Invalid>) {
    let adaptive = match threshold {
        ThresholdSpec::Fixed { size } => return positive("size", *size, wrong),
        ThresholdSpec::Wald(adaptive) | ThresholdSpec::Product(adaptive) => adaptive,
    };
    share("alpha", adaptive.alpha, wrong);
    if !(0.0..1.0).contains(&adaptive.memory) {
        wrong.push(Invalid::new("memory", adaptive.memory, "must be at least 0 and below 1"));
    }
    let bits = u32::from(adaptive.rounding);
    if bits > 52 {
        wrong.push(Invalid::new("round_bits", bits, "must be 0 (off) to 52"));
    }
    let ticks = &adaptive.expected_ticks;
    if !(ticks.target.is_finite() && ticks.target >= 1.0) {
        wrong.push(Invalid::new(
            "target",
            ticks.target,
            "must be a finite number of at least 1 tick",
        ));
    }
    if let Some(alpha) = ticks.alpha {
        share("alpha_t", alpha, wrong);
        bounds(ticks.min, ticks.max, wrong);
    }
}

/// Refuses NaN and infinity too, so no machine has to ask again.
fn positive(key: &str, value: f64, wrong: &mut Vec<Invalid>) {
    if !(value.is_finite() && value > 0.0) {
        wrong.push(Invalid::new(key, value, "must be a finite number greater than 0"));
    }
}

fn share(key: &str, value: f64, wrong: &mut Vec<Invalid>) {
    if !(value > 0.0 && value <= 1.0) {
        wrong.push(Invalid::new(key, value, "must be greater than 0 and at most 1"));
    }
}

#[cfg(feature = "compat")]
fn at_least_one(key: &str, value: u64, wrong: &mut Vec<Invalid>) {
    if value == 0 {
        wrong.push(Invalid::new(key, value, "must be at least 1"));
    }
}

fn bounds(min: f64, max: f64, wrong: &mut Vec<Invalid>) {
    if min.is_nan() || min < 0.0 || min.is_infinite() {
        wrong.push(Invalid::new("min", min, "must be a finite number of at least 0"));
    }
    if max.is_nan() || max <= 0.0 {
        wrong.push(Invalid::new("max", max, "must be greater than 0"));
    }
    if min > max {
        wrong.push(Invalid::new("min", min, format!("must not be above max = {max}")));
    }
}
