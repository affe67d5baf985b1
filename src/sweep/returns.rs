//! Statistics of the log returns between the closes of successive bars, in one pass.

use serde::{Deserialize, Serialize};

/// Bars that a long return of the variance ratio spans.
pub const LONG: usize = 5;

/// Moments of returns, and what their order says.
///
/// Updates of the central moments: P. Pébay, *Formulas for robust, one-pass parallel computation of
/// covariances and arbitrary-order statistical moments* (2008).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Returns {
    n: u64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
    first: f64,
    last: f64,
    /// Σ rᵢ rᵢ₋₁.
    cross: f64,
    /// The latest log prices, oldest first; at most `LONG` of them.
    prices: Vec<f64>,
    /// Long returns: how many, Σ, Σ of squares.
    long: (u64, f64, f64),
}

impl Returns {
    /// Takes the close of a bar.
    pub fn add(&mut self, price: f64) {
        let price = libm::log(price);
        if let Some(last) = self.prices.last() {
            self.add_return(price - last);
        }
        if self.prices.len() == LONG {
            let long = price - self.prices.remove(0);
            self.long = (self.long.0 + 1, self.long.1 + long, self.long.2 + long * long);
        }
        self.prices.push(price);
    }

    fn add_return(&mut self, r: f64) {
        if self.n == 0 {
            self.first = r;
        } else {
            self.cross += r * self.last;
        }
        self.last = r;
        let before = self.n as f64;
        self.n += 1;
        let n = self.n as f64;
        let delta = r - self.mean;
        let step = delta / n;
        let step2 = step * step;
        let term = delta * step * before;
        self.mean += step;
        self.m4 +=
            term * step2 * (n * n - 3.0 * n + 3.0) + 6.0 * step2 * self.m2 - 4.0 * step * self.m3;
        self.m3 += term * step * (n - 2.0) - 3.0 * step * self.m2;
        self.m2 += term;
    }

    /// Jarque–Bera: n/6·(S² + (K−3)²/4), from the sample's own skewness and kurtosis; 0 for a
    /// normal sample. C. Jarque, A. Bera, *Efficient tests for normality, homoscedasticity and serial
    /// independence of regression residuals* (1980).
    pub fn jarque_bera(&self) -> Option<f64> {
        let n = self.n as f64;
        (self.n > 1 && self.m2 > 0.0).then(|| {
            let skewness = n.sqrt() * self.m3 / (self.m2 * self.m2.sqrt());
            let excess = n * self.m4 / (self.m2 * self.m2) - 3.0;
            n / 6.0 * (skewness * skewness + excess * excess / 4.0)
        })
    }

    /// Jarque–Bera for each return. The statistic itself grows with the number of returns, so that it
    /// ranks specifications by how few bars they make; this compares their distributions.
    pub fn jarque_bera_per_return(&self) -> Option<f64> {
        self.jarque_bera().map(|statistic| statistic / self.n as f64)
    }

    /// Correlation of successive returns, about the mean of all.
    pub fn serial_correlation(&self) -> Option<f64> {
        let n = self.n as f64;
        (self.n > 1 && self.m2 > 0.0).then(|| {
            let sum = self.mean * n;
            let ends = 2.0 * sum - self.first - self.last;
            (self.cross - self.mean * ends + (n - 1.0) * self.mean * self.mean) / self.m2
        })
    }

    /// Variance of overlapping returns over [`LONG`] bars against that many times the variance of
    /// single ones, both without bias; 1 for a random walk. A. Lo, C. MacKinlay, *Stock market prices
    /// do not follow random walks* (1988), eq. 12.
    pub fn variance_ratio(&self) -> Option<f64> {
        let (n, q) = (self.n as f64, LONG as f64);
        let (count, sum, squares) = (self.long.0 as f64, self.long.1, self.long.2);
        (self.n > LONG as u64 && self.m2 > 0.0).then(|| {
            let drift = q * self.mean;
            let spread = squares - 2.0 * drift * sum + count * drift * drift;
            let long = spread / (q * (n - q + 1.0) * (1.0 - q / n));
            long / (self.m2 / (n - 1.0))
        })
    }

    /// How many standard errors the variance ratio is from 1, asymptotically standard normal for a
    /// random walk with constant variance: (VR − 1) / √(2(2q−1)(q−1) / (3qn)). Lo, MacKinlay, eq. 13.
    pub fn variance_ratio_z(&self) -> Option<f64> {
        let (n, q) = (self.n as f64, LONG as f64);
        let variance = 2.0 * (2.0 * q - 1.0) * (q - 1.0) / (3.0 * q * n);
        self.variance_ratio().map(|ratio| (ratio - 1.0) / variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.stats.jarque_bera, statsmodels acf, and equation 12 in numpy.
    const JARQUE_BERA: f64 = 5.152387924348771;
    const SERIAL_CORRELATION: f64 = -0.16599903067429695;
    const VARIANCE_RATIO: f64 = 0.9150938978199826;

    #[test]
    fn numbers_are_those_of_other_programs() {
        // Prices 100·exp(cumsum(0.01·sin(k²))), k = 1…60.
        let mut returns = Returns::default();
        let mut log = 100f64.ln();
        returns.add(log.exp());
        for k in 1..=60 {
            log += 0.01 * f64::from(k * k).sin();
            returns.add(log.exp());
        }
        for (found, expected) in [
            (returns.jarque_bera(), JARQUE_BERA),
            (returns.serial_correlation(), SERIAL_CORRELATION),
            (returns.variance_ratio(), VARIANCE_RATIO),
            (returns.jarque_bera_per_return(), JARQUE_BERA / 60.0),
            (returns.variance_ratio_z(), (VARIANCE_RATIO - 1.0) / (4.8f64 / 60.0).sqrt()),
        ] {
            let found = found.unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn too_few_bars_say_nothing() {
        let mut returns = Returns::default();
        for price in [1.0, 1.0, 1.0] {
            returns.add(price);
        }
        assert_eq!(returns.jarque_bera(), None);
        assert_eq!(returns.serial_correlation(), None);
        assert_eq!(returns.variance_ratio(), None);
    }
}
