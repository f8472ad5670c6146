//! The families of a page: their names, their metadata, and the end of the page.

use hashbrown::HashSet;

use super::super::PageError;
use super::family::{Type, check_sample};
use super::line::{self, Keyword, Line, Sample};
use super::order::Order;

/// Checks a page against OpenMetrics 1.0. The error names the first line that breaks a rule.
pub fn check(page: &[u8]) -> Result<(), PageError> {
    let mut checker = Checker::default();
    let mut line_number = 1;
    let at = |line| move |reason| PageError { line, reason };
    let mut rest = page;
    while !rest.is_empty() {
        let len = memchr::memchr(b'\n', rest);
        let (text, next) = match len {
            Some(len) => (&rest[..len], &rest[len + 1..]),
            None => (rest, &[][..]),
        };
        if checker.ended {
            return Err(at(line_number)("something follows # EOF".to_owned()));
        }
        let text = std::str::from_utf8(text)
            .map_err(|_| at(line_number)("the line is not valid UTF-8".to_owned()))?;
        let parsed = line::parse(text).map_err(at(line_number))?;
        if len.is_none() && !matches!(parsed, Line::Eof) {
            return Err(at(line_number)(
                "the page does not end with # EOF".to_owned(),
            ));
        }
        checker.add(parsed).map_err(at(line_number))?;
        line_number += 1;
        rest = next;
    }
    match checker.ended {
        true => Ok(()),
        false => Err(at(line_number)(
            "the page does not end with # EOF".to_owned(),
        )),
    }
}

#[derive(Default)]
struct Checker {
    /// Every name that a family may show, of those read so far.
    taken: HashSet<String>,
    family: Option<Family>,
    ended: bool,
}

/// The family that is being read.
struct Family {
    name: String,
    family_type: Option<Type>,
    has_help: bool,
    unit: Option<String>,
    has_samples: bool,
    order: Order,
}

impl Family {
    fn new(name: &str) -> Family {
        Family {
            name: name.to_owned(),
            family_type: None,
            has_help: false,
            unit: None,
            has_samples: false,
            order: Order::default(),
        }
    }

    fn of(&self) -> Type {
        self.family_type.unwrap_or(Type::Unknown)
    }

    /// The suffix of a sample name that belongs to the family.
    fn suffix<'n>(&self, sample_name: &'n str) -> Option<&'n str> {
        let suffix = sample_name.strip_prefix(self.name.as_str())?;
        self.of().suffixes().contains(&suffix).then_some(suffix)
    }
}

impl Checker {
    fn add(&mut self, line: Line<'_>) -> Result<(), String> {
        match line {
            Line::Eof => {
                self.ended = true;
                self.close()
            }
            Line::Metadata(keyword, name, value) => self.metadata(keyword, name, value),
            Line::Sample(sample) => self.sample(&sample),
        }
    }

    fn metadata(&mut self, keyword: Keyword, name: &str, value: &str) -> Result<(), String> {
        if self.family.as_ref().is_none_or(|now| now.name != name) {
            self.close()?;
            self.family = Some(Family::new(name));
        }
        let Some(family) = &mut self.family else {
            return Ok(());
        };
        let word = keyword.as_str();
        if family.has_samples {
            return Err(format!("{word} of {name} has to stand before its samples"));
        }
        let is_repeated = match keyword {
            Keyword::Type => {
                let of = Type::parse(value)?;
                family.family_type.replace(of).is_some()
            }
            Keyword::Help => std::mem::replace(&mut family.has_help, true),
            Keyword::Unit => family.unit.replace(value.to_owned()).is_some(),
        };
        match is_repeated {
            true => Err(format!("{name} has two {word} lines")),
            false if keyword == Keyword::Unit => check_unit(name, value),
            false => Ok(()),
        }
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        let belongs = |family: &Family| family.suffix(sample.name).is_some();
        if !self.family.as_ref().is_some_and(belongs) {
            self.close()?;
            self.family = Some(Family::new(sample.name));
        }
        let Some(family) = &mut self.family else {
            return Ok(());
        };
        let suffix = family.suffix(sample.name).unwrap_or("");
        family.has_samples = true;
        let of = family.of();
        check_sample(of, &family.name, suffix, sample)?;
        family.order.add(of, &family.name, suffix, sample)
    }

    /// The current family is complete.
    fn close(&mut self) -> Result<(), String> {
        let Some(mut family) = self.family.take() else {
            return Ok(());
        };
        let (of, name) = (family.of(), family.name.as_str());
        if family.unit.as_ref().is_some_and(|unit| !unit.is_empty())
            && matches!(of, Type::Info | Type::StateSet)
        {
            return Err(format!(
                "{name} cannot have a unit: it is of type {}",
                of.as_str()
            ));
        }
        family.order.finish(of, name)?;
        let shown = of.suffixes().iter().filter(|suffix| !suffix.is_empty());
        for suffix in shown.chain(&[""]) {
            if !self.taken.insert(format!("{name}{suffix}")) {
                return Err(format!(
                    "{name}{suffix} belongs to two families, or its family is interrupted by another"
                ));
            }
        }
        Ok(())
    }
}

/// A unit is the last part of the name.
fn check_unit(name: &str, unit: &str) -> Result<(), String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    if !unit.bytes().all(is_name) {
        return Err(format!(
            "the unit {unit:?} of {name} is not a part of a name"
        ));
    }
    let rest = name.strip_suffix(unit);
    match unit.is_empty() || rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('_')) {
        true => Ok(()),
        false => Err(format!("{name} has to end with its unit, _{unit}")),
    }
}
