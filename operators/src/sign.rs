//! The sign b of a trade: from the venue, or by the tick rule.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::trade::Aggressor;

/// The source of signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignRule {
    /// The venue's aggressor side; unknown keeps the previous sign (none yet: +1). A feed that
    /// never tells falls back to the tick rule.
    Aggressor,
    /// Sign of the price change; unchanged keeps the previous sign; +1 before the first change.
    TickRule,
    /// The tick rule with 0 before the first change (mlfinlab and its descendants).
    TickRuleFromZero,
    /// The predecessor's inverted tick rule: +1 when the price fell, −1 when it rose; first +1.
    ReversedTickRule,
}

/// A sign rule and what it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signer {
    rule: SignRule,
    last_price: Option<f64>,
    last_sign: i8,
}

impl Signer {
    /// A signer that has seen nothing.
    pub fn new(rule: SignRule) -> Self {
        let last_sign = if rule == SignRule::TickRuleFromZero { 0 } else { 1 };
        Self { rule, last_price: None, last_sign }
    }

    /// The rule.
    pub fn rule(&self) -> SignRule {
        self.rule
    }

    /// Whether the sign can be read off the aggressor column wherever that is known.
    pub fn reads_aggressor(&self, has_aggressor: bool) -> bool {
        self.rule == SignRule::Aggressor && has_aggressor
    }

    /// b of the next trade: −1, +1, or (only [`SignRule::TickRuleFromZero`]) 0.
    #[inline]
    pub fn sign(&mut self, price: f64, aggressor: Aggressor, has_aggressor: bool) -> i8 {
        if self.reads_aggressor(has_aggressor) {
            if aggressor != Aggressor::Unknown {
                self.last_sign = aggressor.sign();
            }
            return self.last_sign;
        }
        let up = if self.rule == SignRule::ReversedTickRule { -1 } else { 1 };
        if let Some(last) = self.last_price {
            if price > last {
                self.last_sign = up;
            } else if price < last {
                self.last_sign = -up;
            }
        }
        self.last_price = Some(price);
        self.last_sign
    }

    /// Remembers the last trade of a run whose signs were read off the aggressor column.
    #[inline]
    pub fn skip_to(&mut self, sign: i8) {
        self.last_sign = sign;
    }

    /// This signer as it was right after an earlier trade of the same run, of this sign and price.
    pub fn back_at(&self, sign: i8, price: f64, has_aggressor: bool) -> Self {
        let last_price =
            if self.reads_aggressor(has_aggressor) { self.last_price } else { Some(price) };
        Self { last_sign: sign, last_price, ..*self }
    }

    /// Adds what can influence a later sign.
    pub fn digest(&self, digest: &mut Digest) {
        digest.byte(self.last_sign as u8);
        digest.f64(self.last_price.unwrap_or(f64::NAN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(rule: SignRule, prices: &[f64]) -> Vec<i8> {
        let mut signer = Signer::new(rule);
        prices.iter().map(|price| signer.sign(*price, Aggressor::Unknown, false)).collect()
    }

    #[test]
    fn rules_differ_in_the_first_sign_and_in_direction() {
        let prices = [10.0, 10.0, 11.0, 11.0, 9.0];
        assert_eq!(signs(SignRule::TickRule, &prices), [1, 1, 1, 1, -1]);
        assert_eq!(signs(SignRule::TickRuleFromZero, &prices), [0, 0, 1, 1, -1]);
        assert_eq!(signs(SignRule::ReversedTickRule, &prices), [1, 1, -1, -1, 1]);
        assert_eq!(signs(SignRule::Aggressor, &prices), [1, 1, 1, 1, -1]);
    }

    #[test]
    fn an_unknown_aggressor_keeps_the_previous_sign() {
        use Aggressor::*;
        let mut signer = Signer::new(SignRule::Aggressor);
        let told = [Unknown, Seller, Unknown, Buyer, Unknown];
        let signs: Vec<i8> = told.iter().map(|side| signer.sign(1.0, *side, true)).collect();
        assert_eq!(signs, [1, -1, -1, 1, 1]);
    }

    #[test]
    fn a_signer_taken_back_is_the_one_that_stopped_there() {
        for has_aggressor in [false, true] {
            // A first trade by the tick rule leaves a price that told sides must not disturb.
            let mut stopped = Signer::new(SignRule::Aggressor);
            stopped.sign(10.0, Aggressor::Unknown, false);
            let sign = stopped.sign(9.0, Aggressor::Seller, has_aggressor);
            let mut ahead = stopped;
            ahead.sign(12.0, Aggressor::Buyer, has_aggressor);
            assert_eq!(ahead.back_at(sign, 9.0, has_aggressor), stopped);
        }
    }
}
