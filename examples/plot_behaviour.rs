//! Draws the plots of `docs/BARS.md` from real trades:
//! `cargo run --release --example plot_behaviour`.
//!
//! `docs/img/ticks-per-bar.svg`: median ticks per bar against the target, for `wald` and the
//! book's `product`. `docs/img/synchronisation.svg`: how far a builder that joined late is from
//! one that ran from the start.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)] // Other tests read other tapes.
#[path = "../operators/tests/market/mod.rs"]
mod market;

use std::path::{Path, PathBuf};

use barflow::plot::{COLOURS, GRID, INK, axis, font, legend};
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::bars::product::ExpectationsAt;
use barflow_operators::bars::round::Rounding;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{
    AdaptiveSpec, BarSpec, ExpectedTicksSpec, LimitSpec, RuleSpec, ThresholdSpec,
};
use plotters::coord::Shift;
use plotters::prelude::*;

use market::Tape;

/// Height of the legend below the curves.
const LEGEND: u32 = 84;

type Threshold = fn(AdaptiveSpec) -> ThresholdSpec;

fn spec(measure: Measure, threshold: Threshold, alpha: f64, target: f64) -> BarSpec {
    let threshold = threshold(AdaptiveSpec {
        alpha,
        memory: 0.99,
        warmup: 1000,
        rounding: Rounding::from(24),
        expected_ticks: ExpectedTicksSpec { target, alpha: None, min: 1.0, max: 1e9 },
        expectations: ExpectationsAt::Tick,
    });
    let rule = RuleSpec::Imbalance { measure, threshold };
    BarSpec::new("plot", SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
}

fn median_ticks(tape: &Tape, spec: &BarSpec) -> f64 {
    let mut machine = BarMachine::new(spec);
    let mut bars = Vec::new();
    for trade in &tape.trades {
        machine.on_trade(trade, tape.has_aggressor, &mut bars);
    }
    let mut ticks: Vec<u64> = bars.iter().map(|bar| bar.ticks).collect();
    ticks.sort_unstable();
    ticks[ticks.len() / 2] as f64
}

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/img").join(name)
}

/// A chart with room for its caption and labels.
fn chart_on<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    caption: &str,
) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.margin(12).margin_right(36).caption(caption, ("sans-serif", 22));
    chart.x_label_area_size(48).y_label_area_size(64);
    chart
}

fn ticks_per_bar(tapes: &[Tape]) {
    let path = image("ticks-per-bar.svg");
    let root = SVGBackend::new(&path, (760, 520 + LEGEND)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let (area, below) = root.split_vertically(520);
    let targets = [100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
    let mut chart = chart_on(&area, "Median ticks per bar against the target (α = 0.001)")
        .build_cartesian_2d(
            (100f64..5000f64).log_scale().with_key_points(targets.to_vec()),
            (1f64..10_000f64)
                .log_scale()
                .with_key_points((0..=4).map(|power| 10f64.powi(power)).collect()),
        )
        .unwrap();
    chart
        .configure_mesh()
        .label_style(("sans-serif", 16).into_font().color(&INK))
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_label_formatter(&|target| axis::short(*target))
        .y_label_formatter(&|ticks| axis::short(*ticks))
        .x_desc("target")
        .y_desc("median ticks per bar")
        .draw()
        .unwrap();
    let grey = RGBColor(150, 150, 150);
    let mut entries = vec![("equal to the target".to_owned(), grey)];
    let ends = [100.0, 5000.0].map(|target| (target, target));
    chart.draw_series(LineSeries::new(ends, grey.stroke_width(2))).unwrap();
    let rules: [(&str, Threshold); 2] =
        [("wald", ThresholdSpec::Wald), ("product", ThresholdSpec::Product)];
    let mut colours = COLOURS.iter().cycle();
    for (rule, threshold) in rules {
        for tape in tapes {
            for measure in [Measure::Tick, Measure::Dollar] {
                let points: Vec<(f64, f64)> = targets
                    .iter()
                    .map(|target| {
                        let spec = spec(measure, threshold, 1e-3, *target);
                        (*target, median_ticks(tape, &spec))
                    })
                    .collect();
                let colour = *colours.next().unwrap();
                chart
                    .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))
                    .unwrap();
                let measure = format!("{measure:?}").to_lowercase();
                entries.push((format!("{rule}, {}, {measure}", tape.name), colour));
            }
            if rule == "product" {
                break;
            }
        }
    }
    let names: Vec<String> = entries.iter().map(|(name, _)| name.clone()).collect();
    legend::draw(&below, &names, |at| entries[at].1).unwrap();
    root.present().unwrap();
}

/// m2 of a `wald` machine, read from its saved state.
fn second_moment(machine: &BarMachine) -> f64 {
    let state = serde_json::to_value(machine).unwrap();
    state["Wald"]["rule"]["moments"]["m2"].as_f64().unwrap()
}

/// Relative distance of the two builders' E[x²], every `step` trades since the late one's warm-up;
/// 1e-18 means "the same bits".
fn distances(tape: &Tape, alpha: f64, last: usize, step: usize) -> Vec<(f64, f64)> {
    let spec = spec(Measure::Dollar, ThresholdSpec::Wald, alpha, 1000.0);
    let join = tape.trades.len() / 2;
    let (mut full, mut late) = (BarMachine::new(&spec), BarMachine::new(&spec));
    let mut bars = Vec::new();
    for trade in &tape.trades[..join] {
        full.on_trade(trade, tape.has_aggressor, &mut bars);
    }
    let mut points = Vec::new();
    for (done, trade) in tape.trades[join..join + last].iter().enumerate() {
        full.on_trade(trade, tape.has_aggressor, &mut bars);
        late.on_trade(trade, tape.has_aggressor, &mut bars);
        if done >= 1000 && done % step == 0 {
            let (m2, other) = (second_moment(&full), second_moment(&late));
            points.push((done as f64, ((m2 - other).abs() / m2).max(1e-18)));
        }
    }
    points
}

fn synchronisation(tapes: &[Tape]) {
    let path = image("synchronisation.svg");
    let root = SVGBackend::new(&path, (760, 460 + LEGEND)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let (area, below) = root.split_vertically(460);
    let mut chart = chart_on(&area, "A builder that joins late, dollar imbalance, target 1000")
        .build_cartesian_2d(
            0f64..80_000f64,
            (1e-18..1f64)
                .log_scale()
                .with_key_points([-16, -12, -8, -4, 0].map(|power| 10f64.powi(power)).to_vec()),
        )
        .unwrap();
    chart
        .configure_mesh()
        .label_style(("sans-serif", 16).into_font().color(&INK))
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(5)
        .x_label_formatter(&|trades| axis::short(*trades))
        .x_desc("trades since joining")
        .y_desc("relative difference of E[x²] (bottom: none)")
        .y_label_formatter(&|difference| format!("{difference:.0e}"))
        .draw()
        .unwrap();
    let mut colours = COLOURS.iter();
    let mut entries = Vec::new();
    for alpha in [1e-2, 1e-3, 3e-4] {
        for tape in tapes {
            let colour = *colours.next().unwrap();
            let points = distances(tape, alpha, 80_000, 250);
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).unwrap();
            entries.push((format!("α = {alpha}, {}", tape.name), colour));
        }
    }
    let names: Vec<String> = entries.iter().map(|(name, _)| name.clone()).collect();
    legend::draw(&below, &names, |at| entries[at].1).unwrap();
    root.present().unwrap();
}

fn main() {
    font::register();
    let tapes: Vec<Tape> = [market::bitmex(3), market::spy()].into_iter().flatten().collect();
    std::fs::create_dir_all(image("")).unwrap();
    ticks_per_bar(&tapes);
    synchronisation(&tapes);
    println!("wrote {}", image("").display());
}
