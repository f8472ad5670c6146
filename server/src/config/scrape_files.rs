//! `scrape_config_files`: more jobs, in files of their own that hold `scrape_configs` and nothing else.

use crate::files;
use std::path::Path;

use super::schema::{Key, decode, read};
use super::sections::add_job;
use super::{Config, ScrapeJob, global, scrape};
use crate::yaml;
use crate::yaml::{Line, Problem, Report};

/// Files of all patterns.
const FILES_MAX: usize = 10_000;

/// Adds the jobs of every file that fits; relative patterns are below `base`.
pub(super) fn load(config: &mut Config, base: &Path, report: &mut Report) {
    let (patterns, Line(line)) = std::mem::take(&mut config.scrape_files);
    let mut files = 0;
    for pattern in patterns {
        let whole = base.join(&pattern);
        let found = match glob::glob(&whole.to_string_lossy()) {
            Ok(found) => found,
            Err(error) => {
                report.error(line, format!("scrape_config_files: {pattern:?}: {error}"));
                continue;
            }
        };
        // A file that a pattern names and that cannot be read is an error; a pattern that fits nothing is none.
        for path in found.filter_map(Result::ok) {
            files += 1;
            if files > FILES_MAX {
                let why = format!("scrape_config_files: {pattern:?}: more than {FILES_MAX} files");
                return report.error(line, why);
            }
            let jobs = read_file(&path, &config.global, line, report);
            let place = format!("{}: ", path.display());
            for mut job in jobs {
                job.resolve(path.parent().unwrap_or(base));
                job.line = Line(line);
                add_job(config, job, &place, report);
            }
        }
    }
}

fn read_file(
    path: &Path,
    global: &global::Global,
    line: usize,
    report: &mut Report,
) -> Vec<ScrapeJob> {
    let name = path.display();
    let tree = match files::read(path) {
        Ok(text) => yaml::parse(&text),
        Err(error) => {
            report.error(line, format!("{name}: {error}"));
            return Vec::new();
        }
    };
    let mut own = Report::default();
    let mut jobs = Vec::new();
    match tree {
        Ok(tree) => jobs = jobs_of(&tree, global, &mut own),
        Err(problem) => own.errors.push(problem),
    }
    let told = |problem: Problem| Problem::new(line, format!("{name}: {problem}"));
    report.errors.extend(own.errors.into_iter().map(told));
    report.warnings.extend(own.warnings.into_iter().map(told));
    jobs
}

fn jobs_of(tree: &yaml::Node, global: &global::Global, report: &mut Report) -> Vec<ScrapeJob> {
    static FILE: &[Key<Vec<yaml::Node>>] = &[read("scrape_configs", |entry, nodes, report| {
        nodes.extend_from_slice(report.items(entry));
    })];
    let mut nodes = Vec::new();
    let what = "a file of scrape_config_files";
    decode(tree, what, &[&FILE], &mut nodes, report);
    let jobs = nodes.iter().map(|node| scrape::job(node, global, report));
    jobs.collect()
}
