//! The report as one page that needs nothing else: style, plots and tables are inside.

use std::fmt::Write as _;
use std::sync::Arc;

use barflow_operators::quality::day::Example;

use super::judged::Judged;
use super::plots::{self, PlotError};
use super::report::{Report, Verdict, broken, date, lines, passes, shown, without_place};
use crate::thousands::grouped;

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;width:100%}
.wide{overflow-x:auto}
th,td{border-bottom:1px solid #ddd;padding:.3em .6em;text-align:left;vertical-align:top}
.day{white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.ok{color:#2c7a2c}.warn{color:#a66a00}.broken{color:#b3261e;font-weight:600}.none{color:#888}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
small{color:#666}
svg{display:block;width:100%;max-width:760px;height:auto;margin:.5em 0}
tr.more td{border-bottom:0}
tr.examples td{padding-top:0}
ul{margin:.1em 0 .3em;padding-left:1.2em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em .8em;margin:0;color:#666;font-size:13px}
dd{margin:0}
@media(max-width:600px){body{font-size:14px;margin:1em auto;padding:0 .7em}h1{font-size:1.4em}\
th,td{padding:.25em .4em}code{font-size:12px}.wider{display:none}}";

/// Days listed per instrument, the worst first.
const DAYS: usize = 50;

/// What the page says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// When the report was made, for people.
    pub made: String,
    /// The expectation suite.
    pub suite: String,
    /// Files, folders or the store that were read.
    pub inputs: Vec<String>,
}

/// Makes the page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn page(report: &Report, origin: &Origin) -> Result<String, String> {
    let mut page = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width\"/>\n\
         <title>Data quality</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n\
         <h1>Data quality: {}</h1>\n",
        verdict(report.passes())
    );
    let inputs: Vec<String> =
        origin.inputs.iter().map(|input| format!("<code>{}</code>", escaped(input))).collect();
    let _ = writeln!(
        page,
        "<dl><dt>made</dt><dd>{} by barflow {}</dd><dt>suite</dt><dd>{}</dd><dt>input</dt><dd>{}</dd></dl>",
        escaped(&origin.made),
        env!("CARGO_PKG_VERSION"),
        escaped(&origin.suite),
        inputs.join(" ")
    );
    for damaged in &report.unopened {
        let _ = writeln!(page, "<p class=\"broken\">damaged: {}</p>", escaped(&damaged.error));
    }
    overview(&mut page, report);
    for judged in &report.instruments {
        instrument(&mut page, judged, report)
            .map_err(|error| format!("the plots of {} failed: {error}", judged.name()))?;
    }
    page.push_str(
        "<p class=\"none\">The score of a day is the mean over all checked expectations, weighted \
         by severity (warn 1, quarantine 2, fail 4), of the share of rows without violation; \
         daily expectations count 1 or 0.</p>\n</body>\n</html>\n",
    );
    Ok(page)
}

fn verdict(passes: bool) -> &'static str {
    match passes {
        true => "<span class=\"ok\">passes</span>",
        false => "<span class=\"broken\">does not pass</span>",
    }
}

fn overview(page: &mut String, report: &Report) {
    page.push_str(
        "<div class=\"wide\">\n<table>\n<tr><th>instrument</th><th>verdict</th><th class=\"n wider\">days</th>\
         <th class=\"n\">trades</th><th class=\"n\">lowest score</th></tr>\n",
    );
    for judged in &report.instruments {
        let trades = judged.days.iter().map(|day| day.trades).sum();
        let scores = judged.days.iter().filter_map(|day| day.score(&report.suite));
        let least = scores.min_by(f64::total_cmp);
        let least = least.map_or_else(String::new, shown);
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n wider\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{least}</td></tr>",
            escaped(&judged.name()),
            verdict(passes(judged, &report.suite)),
            judged.days.len(),
            grouped(trades),
        );
    }
    page.push_str("</table>\n</div>\n");
}

fn instrument(page: &mut String, judged: &Judged, report: &Report) -> Result<(), PlotError> {
    let suite = &report.suite;
    let _ = writeln!(page, "<h2>{}</h2>", escaped(&judged.name()));
    for damaged in &judged.damaged {
        let _ = writeln!(page, "<p class=\"broken\">damaged: {}</p>", escaped(&damaged.error));
    }
    page.push_str(
        "<div class=\"wide\">\n<table>\n<tr><th>expectation</th><th>verdict</th>\
         <th class=\"n\">offenders</th><th class=\"n wider\">rows</th>\
         <th class=\"n wider\">days</th><th class=\"wider\">severity</th></tr>\n",
    );
    for line in lines(judged, suite) {
        let class = match line.verdict() {
            Verdict::Met => "ok",
            Verdict::Warned => "warn",
            Verdict::Broken => "broken",
            Verdict::NotApplicable => "none",
        };
        let _ = writeln!(
            page,
            "<tr{}><td>{}<br/><small>{}</small></td><td class=\"{class}\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n wider\">{}</td><td class=\"n wider\">{}</td>\
             <td class=\"wider\">{}</td></tr>",
            if line.examples.is_empty() { "" } else { " class=\"more\"" },
            line.check,
            line.check.meaning(),
            line.verdict().as_str(),
            grouped(line.offenders),
            grouped(line.rows),
            line.days,
            line.severity.as_str(),
        );
        examples(page, &line.examples);
    }
    page.push_str("</table>\n</div>\n<div class=\"wide\">\n");
    page.push_str(&plots::scores(judged, suite)?);
    page.push_str(&plots::trades(judged)?);
    page.push_str(&plots::offenders(judged, suite)?.unwrap_or_default());
    page.push_str("</div>\n");
    days(page, judged, report);
    Ok(())
}

/// A row below that of an expectation: its first offenders, each file named once.
fn examples(page: &mut String, examples: &[(i32, &Example)]) {
    if examples.is_empty() {
        return;
    }
    page.push_str("<tr class=\"examples\"><td colspan=\"6\">");
    let source = |example: &Example| example.place.as_ref().map(|place| Arc::clone(&place.source));
    for of_source in examples.chunk_by(|(_, a), (_, b)| source(a) == source(b)) {
        if let Some(source) = of_source.first().and_then(|(_, example)| source(example)) {
            let _ = write!(page, "<code>{}</code>", escaped(&source));
        }
        page.push_str("<ul>");
        for (day, example) in of_source {
            let at = match example.place.as_ref().and_then(|place| place.line) {
                Some(line) => format!("line {line}, "),
                None if example.place.is_none() => format!("{}, ", date(*day)),
                None => String::new(),
            };
            let _ = write!(page, "<li>{at}{}</li>", escaped(&without_place(example)));
        }
        page.push_str("</ul>");
    }
    page.push_str("</td></tr>\n");
}

fn days(page: &mut String, judged: &Judged, report: &Report) {
    let mut days: Vec<_> = (judged.days.iter())
        .filter_map(|day| Some((day.score(&report.suite)?, day)))
        .filter(|(score, _)| *score < 1.0)
        .collect();
    if days.is_empty() {
        return;
    }
    days.sort_by(|a, b| a.0.total_cmp(&b.0));
    let _ = writeln!(
        page,
        "<h3>Days below 1, the worst first ({} of {})</h3>\n<div class=\"wide\">\n<table>\n<tr><th>day</th>\
         <th class=\"n\">score</th><th class=\"n\">trades</th><th>offenders</th></tr>",
        days.len().min(DAYS),
        days.len()
    );
    for (score, day) in days.iter().take(DAYS) {
        let _ = writeln!(
            page,
            "<tr><td class=\"day\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            date(day.day),
            shown(*score),
            grouped(day.trades),
            broken(day, &report.suite)
        );
    }
    page.push_str("</table>\n</div>\n");
}

/// Text as text, whatever is in it: names of files come from outside.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not valid in XML, and not readable.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        assert_eq!(
            escaped("<script>\"a\"&'b'\u{0}"),
            "&lt;script&gt;&quot;a&quot;&amp;&#39;b&#39;\u{fffd}"
        );
    }
}
