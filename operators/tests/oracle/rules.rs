//! When a bar closes: §2 and §3, one rule after another.

use barflow_operators::bar::Levels;
use barflow_operators::bars::product::ExpectationsAt;
use barflow_operators::spec::AdaptiveSpec;

use super::levels::{expected_ticks, round, wald_barrier};
use super::{Rule, Step};

fn step(closes: bool) -> Step {
    if closes { Step::Reached } else { Step::Open }
}

/// Tick, volume and dollar bars: Σ v ≥ size.
pub struct Size {
    size: f64,
    sum: f64,
}

impl Size {
    pub fn new(size: f64) -> Self {
        Self { size, sum: 0.0 }
    }
}

impl Rule for Size {
    fn test(&mut self, _b: i8, v: f64, first: bool) -> Step {
        self.sum = if first { 0.0 } else { self.sum } + v;
        step(self.sum >= self.size)
    }

    fn levels(&self) -> Levels {
        Levels { threshold: Some(self.size), ..Levels::default() }
    }
}

/// Imbalance with a constant: |θ| ≥ size.
pub struct FixedImbalance {
    size: f64,
    theta: f64,
}

impl FixedImbalance {
    pub fn new(size: f64) -> Self {
        Self { size, theta: 0.0 }
    }
}

impl Rule for FixedImbalance {
    fn test(&mut self, b: i8, v: f64, first: bool) -> Step {
        self.theta = if first { 0.0 } else { self.theta } + f64::from(b) * v;
        step(self.theta.abs() >= self.size)
    }

    fn levels(&self) -> Levels {
        Levels { threshold: Some(self.size), ..Levels::default() }
    }
}

/// Runs with a constant: max(θ⁺, θ⁻) ≥ size.
pub struct FixedRuns {
    size: f64,
    buys: f64,
    sells: f64,
}

impl FixedRuns {
    pub fn new(size: f64) -> Self {
        Self { size, buys: 0.0, sells: 0.0 }
    }
}

impl Rule for FixedRuns {
    fn test(&mut self, b: i8, v: f64, first: bool) -> Step {
        if first {
            (self.buys, self.sells) = (0.0, 0.0);
        }
        if b == 1 {
            self.buys += v;
        } else {
            self.sells += v;
        }
        step(self.buys.max(self.sells) >= self.size)
    }

    fn levels(&self) -> Levels {
        Levels {
            threshold: Some(self.size),
            theta_buy: Some(self.buys),
            theta_sell: Some(self.sells),
            ..Levels::default()
        }
    }
}

/// Adaptive imbalance: `product` and `wald` differ in the test alone.
pub struct Imbalance {
    params: AdaptiveSpec,
    wald: bool,
    /// x of the warm-up so far; x·e beside it.
    seen: Vec<(f64, f64)>,
    warm: bool,
    mu: f64,
    m2: f64,
    c: f64,
    e: f64,
    et: f64,
    theta: f64,
    /// mu at the bar's first trade.
    mu0: f64,
}

impl Imbalance {
    pub fn new(params: AdaptiveSpec, wald: bool) -> Self {
        let mut rule = Self {
            params,
            wald,
            seen: Vec::new(),
            warm: false,
            mu: 0.0,
            m2: 0.0,
            c: 0.0,
            e: 0.0,
            et: 0.0,
            theta: 0.0,
            mu0: 0.0,
        };
        rule.restart();
        rule
    }

    fn warm_up(&mut self, x: f64) {
        self.seen.push((x, x * self.e));
        self.e = self.params.memory * (self.e + x);
        if self.seen.len() as u64 == self.params.warmup {
            let n = self.seen.len() as f64;
            let (mut x1, mut x2, mut xe) = (0.0, 0.0, 0.0);
            for (x, product) in &self.seen {
                x1 += x;
                x2 += x * x;
                xe += product;
            }
            (self.mu, self.m2, self.c) = (x1 / n, x2 / n, xe / n);
            self.warm = true;
        }
    }

    fn tested_mu(&self) -> f64 {
        match self.params.expectations {
            ExpectationsAt::BarOpen if !self.wald => self.mu0,
            _ => self.mu,
        }
    }

    fn variance(&self) -> f64 {
        let (mu, phi) = (self.mu, self.params.memory);
        let gamma0 = (self.m2 - mu * mu).max(0.0);
        (gamma0 + 2.0 * (self.c - mu * mu * (phi / (1.0 - phi)))).max(gamma0 / 10.0)
    }

    fn reached(&self) -> bool {
        let (mu, et, size) = (self.tested_mu(), self.et, self.theta.abs());
        if !self.wald {
            return size >= et * mu.abs();
        }
        let variance = self.variance();
        let k = mu.abs() / variance;
        if variance == 0.0 {
            return size >= mu.abs() * et;
        }
        size >= (mu.abs() * et).max((variance * et).sqrt())
            && size * libm::tanh(size * k) >= mu.abs() * et
    }
}

impl Rule for Imbalance {
    fn test(&mut self, b: i8, v: f64, first: bool) -> Step {
        let x = f64::from(b) * v;
        if !self.warm {
            self.warm_up(x);
            return Step::Warming;
        }
        if first {
            self.mu0 = self.mu;
            self.theta = 0.0;
        }
        self.theta += x;
        step(self.reached())
    }

    fn learn(&mut self, b: i8, v: f64) {
        let x = f64::from(b) * v;
        let alpha = self.params.alpha;
        self.mu += alpha * (x - self.mu);
        self.m2 += alpha * (x * x - self.m2);
        self.c += alpha * (x * self.e - self.c);
        self.e = self.params.memory * (self.e + x);
    }

    fn closed(&mut self, ticks: u64) {
        let bits = u32::from(self.params.rounding);
        self.et = expected_ticks(self.et, ticks, &self.params.expected_ticks, bits);
        for value in [&mut self.mu, &mut self.m2, &mut self.c, &mut self.e] {
            *value = round(*value, bits);
        }
    }

    fn restart(&mut self) {
        self.seen.clear();
        self.warm = self.params.warmup == 0;
        (self.mu, self.m2, self.c, self.e) = (0.0, 0.0, 0.0, 0.0);
        self.et = self.params.expected_ticks.target;
    }

    fn levels(&self) -> Levels {
        let (mu, et) = (self.tested_mu(), self.et);
        let product = Levels {
            threshold: Some(et * mu.abs()),
            expected_ticks: Some(et),
            expected_imbalance: Some(mu),
            ..Levels::default()
        };
        if !self.wald {
            return product;
        }
        let variance = self.variance();
        Levels {
            threshold: Some(wald_barrier(mu, variance, et)),
            sigma: Some(variance.sqrt()),
            ..product
        }
    }
}

/// Adaptive runs.
pub struct Runs {
    params: AdaptiveSpec,
    /// v of the buys and of the sells of the warm-up so far.
    seen: [Vec<f64>; 2],
    warm: bool,
    p: f64,
    vb: f64,
    vs: f64,
    et: f64,
    buys: f64,
    sells: f64,
    /// P, vb, vs at the bar's first trade.
    frozen: (f64, f64, f64),
}

impl Runs {
    pub fn new(params: AdaptiveSpec) -> Self {
        let et = params.expected_ticks.target;
        Self {
            params,
            seen: [Vec::new(), Vec::new()],
            warm: false,
            p: 0.0,
            vb: 0.0,
            vs: 0.0,
            et,
            buys: 0.0,
            sells: 0.0,
            frozen: (0.0, 0.0, 0.0),
        }
    }

    fn tested(&self) -> (f64, f64, f64) {
        match self.params.expectations {
            ExpectationsAt::BarOpen => self.frozen,
            ExpectationsAt::Tick => (self.p, self.vb, self.vs),
        }
    }

    fn threshold(&self) -> f64 {
        let (p, vb, vs) = self.tested();
        self.et * (p * vb).max((1.0 - p) * vs)
    }

    /// A warm-up without a buy or without a sell is prolonged until there is one.
    fn warm_up(&mut self, b: i8, v: f64) {
        self.seen[usize::from(b != 1)].push(v);
        let [buys, sells] = &self.seen;
        let n = buys.len() + sells.len();
        if n as u64 >= self.params.warmup && !buys.is_empty() && !sells.is_empty() {
            let mean = |values: &[f64]| {
                values.iter().fold(0.0, |sum, value| sum + value) / values.len() as f64
            };
            self.p = buys.len() as f64 / n as f64;
            self.vb = mean(buys);
            self.vs = mean(sells);
            self.warm = true;
        }
    }
}

impl Rule for Runs {
    fn test(&mut self, b: i8, v: f64, first: bool) -> Step {
        if !self.warm {
            self.warm_up(b, v);
            return Step::Warming;
        }
        if first {
            self.frozen = (self.p, self.vb, self.vs);
            (self.buys, self.sells) = (0.0, 0.0);
        }
        if b == 1 {
            self.buys += v;
        } else {
            self.sells += v;
        }
        step(self.buys.max(self.sells) >= self.threshold())
    }

    fn learn(&mut self, b: i8, v: f64) {
        let alpha = self.params.alpha;
        self.p += alpha * (if b == 1 { 1.0 } else { 0.0 } - self.p);
        if b == 1 {
            self.vb += alpha * (v - self.vb);
        } else {
            self.vs += alpha * (v - self.vs);
        }
    }

    fn closed(&mut self, ticks: u64) {
        let bits = u32::from(self.params.rounding);
        self.et = expected_ticks(self.et, ticks, &self.params.expected_ticks, bits);
        for value in [&mut self.p, &mut self.vb, &mut self.vs] {
            *value = round(*value, bits);
        }
    }

    fn restart(&mut self) {
        self.seen = [Vec::new(), Vec::new()];
        self.warm = false;
        self.et = self.params.expected_ticks.target;
    }

    fn levels(&self) -> Levels {
        let (p, vb, vs) = self.tested();
        Levels {
            threshold: Some(self.threshold()),
            expected_ticks: Some(self.et),
            expected_imbalance: Some(p * vb - (1.0 - p) * vs),
            theta_buy: Some(self.buys),
            theta_sell: Some(self.sells),
            ..Levels::default()
        }
    }
}
