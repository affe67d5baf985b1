//! The kinds of bars and their keys, described for users.

/// What a key of a kind means.
pub struct KeyHelp {
    /// The key.
    pub name: &'static str,
    /// Its meaning.
    pub what: &'static str,
    /// Its value if it is not given, or "required".
    pub default: &'static str,
}

/// Kinds of bars with the same keys.
pub struct KindHelp {
    /// Their names.
    pub names: &'static [&'static str],
    /// When a bar closes.
    pub closes: &'static str,
    /// Their keys.
    pub keys: &'static [KeyHelp],
    /// Specifications, as of `--bar`.
    pub examples: &'static [&'static str],
}

const fn key(name: &'static str, what: &'static str, default: &'static str) -> KeyHelp {
    KeyHelp { name, what, default }
}

const REQUIRED: &str = "required";

const SIGN: KeyHelp =
    key("sign", "who initiated a trade: aggressor, as the venue says, or tick_rule", "aggressor");
const MEASURE: KeyHelp = key("measure", "what is summed: tick, volume or dollar", "dollar");
const SIZE: KeyHelp = key("size", "the sum at which a bar closes", REQUIRED);
const EXPECTATIONS: KeyHelp =
    key("expectations", "tick, or bar_open: frozen at a bar's first trade; with product", "tick");
const FIXED: KeyHelp = key("size", "the threshold, with threshold=fixed", REQUIRED);
const TARGET: KeyHelp = key("target", "expected trades per bar", "1000");
const ALPHA: KeyHelp = key("alpha", "weight of a trade in the averages", "1/target");
const WARMUP: KeyHelp = key("warmup", "trades before the first bar", "target");
const ROUND: KeyHelp = key("round_bits", "mantissa bits kept at each close", "24");
const ALPHA_T: KeyHelp = key(
    "alpha_t",
    "weight of a bar in the expected length; without it the length is target",
    "none",
);
const MIN: KeyHelp = key("min", "least expected length, with alpha_t", "1");
const MAX: KeyHelp = key("max", "greatest expected length, with alpha_t", "none");
const MAX_TICKS: KeyHelp = key("max_ticks", "close after so many trades at the latest", "none");
const MAX_DURATION: KeyHelp = key("max_duration", "close after this time at the latest", "none");
const RESET: KeyHelp = key("reset", "none, or utc_day: start over at midnight", "none");

/// All kinds.
pub const KINDS: &[KindHelp] = &[
    KindHelp {
        names: &["time"],
        closes: "closes at multiples of a length of time",
        keys: &[
            key("every", "the length: 30s, 5m, 1h, 1d", REQUIRED),
            key("empty_bars", "true: an interval without trades has a bar as well", "false"),
            SIGN,
        ],
        examples: &["hour=time,every=1h", "kline=time,every=1m,empty_bars=true"],
    },
    KindHelp {
        names: &["tick", "volume", "dollar"],
        closes: "closes when the number, quantity or quote value of its trades reaches a size",
        keys: &[SIZE, SIGN, MAX_TICKS, MAX_DURATION, RESET],
        examples: &["t1000=tick,size=1000", "usd=dollar,size=1000000,max_duration=1h"],
    },
    KindHelp {
        names: &["imbalance"],
        closes: "closes when buys and sells differ by a threshold",
        keys: &[
            MEASURE,
            key("threshold", "wald, product or fixed", "wald"),
            TARGET,
            ALPHA,
            key(
                "memory",
                "how far back the variance looks, with wald: 1/(1-memory) trades",
                "0.99",
            ),
            WARMUP,
            ROUND,
            ALPHA_T,
            MIN,
            MAX,
            EXPECTATIONS,
            FIXED,
            SIGN,
            MAX_TICKS,
            MAX_DURATION,
            RESET,
        ],
        examples: &[
            "dib=imbalance,measure=dollar,threshold=wald,target=1000,alpha=0.001",
            "fixed=imbalance,measure=volume,threshold=fixed,size=50",
            "moving=imbalance,threshold=product,alpha_t=0.1,min=100,max=10000",
        ],
    },
    KindHelp {
        names: &["runs"],
        closes: "closes when the buys or the sells of a bar reach a threshold",
        keys: &[
            MEASURE,
            key("threshold", "product or fixed", "product"),
            TARGET,
            ALPHA,
            WARMUP,
            ROUND,
            ALPHA_T,
            MIN,
            MAX,
            EXPECTATIONS,
            FIXED,
            SIGN,
            MAX_TICKS,
            MAX_DURATION,
            RESET,
        ],
        examples: &[
            "runs=runs,measure=dollar,target=1000,alpha=0.001",
            "moving=runs,alpha_t=0.1,min=100,max=10000",
            "fixed=runs,threshold=fixed,size=100000",
        ],
    },
    KindHelp {
        names: &[
            "mlfinlab-ema-imbalance",
            "mlfinlab-const-imbalance",
            "mlfinlab-ema-runs",
            "mlfinlab-const-runs",
            "risklabai-ema-imbalance",
            "risklabai-const-imbalance",
            "risklabai-ema-runs",
            "risklabai-const-runs",
        ],
        closes: "the bars of mlfinlab and RiskLabAI, for comparison",
        keys: &[
            MEASURE,
            key("num_prev_bars", "bars in the average of lengths", "3"),
            key("window", "trades in the average of imbalances", "10000"),
            key("init", "expected trades of the first bar", "20000"),
            key("min", "least expected length", "0"),
            key("max", "greatest expected length", "none"),
        ],
        examples: &["ml=mlfinlab-ema-imbalance,measure=dollar,init=20000"],
    },
    KindHelp {
        names: &["predecessor-head"],
        closes: "the bars of this program's predecessor, its last version",
        keys: &[
            key("init_ticks", "expected trades of the first bar", REQUIRED),
            key("alpha_ticks", "weight of a bar in the expected length", REQUIRED),
            key("alpha_imbalance", "weight of a bar in the expected imbalance", REQUIRED),
            key("time_reset", "hours; a longer bar starts everything over", REQUIRED),
        ],
        examples: &[
            "old=predecessor-head,init_ticks=1000,alpha_ticks=0.1,alpha_imbalance=0.1,time_reset=1",
        ],
    },
    KindHelp {
        names: &["predecessor-seed"],
        closes: "the bars of this program's predecessor, its first version",
        keys: &[
            key("init_t", "expected trades of the first bar", REQUIRED),
            key("alpha_volume", "weight of a bar in the expected volume", REQUIRED),
            key("alpha_imbalance", "weight of a bar in the expected imbalance", REQUIRED),
        ],
        examples: &["oldest=predecessor-seed,init_t=1000,alpha_volume=0.1,alpha_imbalance=0.1"],
    },
    KindHelp {
        names: &["finmlkit-tick", "finmlkit-volume", "finmlkit-dollar"],
        closes: "the bars of finmlkit, for comparison",
        keys: &[SIZE],
        examples: &["fk=finmlkit-volume,size=100"],
    },
    KindHelp {
        names: &[
            "nautilus-tick",
            "nautilus-volume",
            "nautilus-value",
            "nautilus-tick-imbalance",
            "nautilus-volume-imbalance",
            "nautilus-value-imbalance",
            "nautilus-tick-runs",
            "nautilus-volume-runs",
            "nautilus-value-runs",
        ],
        closes: "the bars of NautilusTrader, for comparison",
        keys: &[
            key("size", "its step", REQUIRED),
            key("price_precision", "decimal places of prices", "2"),
            key("size_precision", "decimal places of quantities", "6"),
        ],
        examples: &["nt=nautilus-tick-imbalance,size=100"],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::bar_kinds;
    use crate::config::bars::{BarBook, cut};
    use crate::config::problem::Problems;

    fn problems(spec: &str) -> Problems {
        let mut problems = Problems::default();
        let section = cut(spec, &mut problems).unwrap();
        BarBook::understand(vec![section], &mut problems);
        problems
    }

    #[test]
    fn every_kind_is_described_once() {
        let described: Vec<&str> = KINDS.iter().flat_map(|kind| kind.names).copied().collect();
        let known: BTreeSet<&str> = bar_kinds::names().collect();
        assert_eq!(described.len(), known.len());
        assert_eq!(described.into_iter().collect::<BTreeSet<_>>(), known);
    }

    #[test]
    fn every_example_is_a_valid_specification() {
        for example in KINDS.iter().flat_map(|kind| kind.examples) {
            assert_eq!(problems(example), Problems::default(), "{example}");
        }
    }

    /// An unknown key is refused with the list of those that there are: those of all examples of a
    /// kind together are the ones that are described.
    #[test]
    fn every_key_is_described() {
        for kind in KINDS {
            let mut taken = BTreeSet::from(["instruments".to_owned(), "kind".to_owned()]);
            let mut described = taken.clone();
            described.extend(kind.keys.iter().map(|key| key.name.to_owned()));
            for example in kind.examples {
                let said = problems(&format!("{example},no_such_key=1")).to_string();
                let (_, keys) = said.split_once("it takes ").unwrap();
                taken.extend(keys.split(", ").map(|key| key.trim().to_owned()));
            }
            assert_eq!(described, taken, "{:?}", kind.names);
        }
    }
}
