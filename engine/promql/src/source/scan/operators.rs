//! Binary operators with their modifiers: `bool`, `on`, `ignoring`, `group_left`, `group_right`, fills.

use crate::plan::{BinaryOp, Cardinality, Matching, Span};
use crate::source::atom::{AtomKind, BinaryAtom};
use crate::source::error::SourceError;
use crate::source::lex::TokenKind;
use crate::source::selector;

use super::scanner::Scanner;

impl Scanner<'_, '_> {
    pub(super) fn binary_operator(&self) -> Option<BinaryOp> {
        Some(match self.cursor.peek().kind {
            TokenKind::Add => BinaryOp::Add,
            TokenKind::Sub => BinaryOp::Sub,
            TokenKind::Mul => BinaryOp::Mul,
            TokenKind::Div => BinaryOp::Div,
            TokenKind::Mod => BinaryOp::Mod,
            TokenKind::Pow => BinaryOp::Pow,
            TokenKind::Equal => BinaryOp::Eql,
            TokenKind::NotEqual => BinaryOp::Neq,
            TokenKind::Greater => BinaryOp::Gtr,
            TokenKind::Less => BinaryOp::Lss,
            TokenKind::GreaterEqual => BinaryOp::Gte,
            TokenKind::LessEqual => BinaryOp::Lte,
            TokenKind::TrimUpper => BinaryOp::TrimUpper,
            TokenKind::TrimLower => BinaryOp::TrimLower,
            TokenKind::Identifier => match self.cursor.word()?.to_ascii_lowercase().as_str() {
                "and" => BinaryOp::And,
                "or" => BinaryOp::Or,
                "unless" => BinaryOp::Unless,
                "atan2" => BinaryOp::Atan2,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The modifiers of a binary operator: `bool`, `on|ignoring (..)`, `group_left|group_right (..)`, fills.
    pub(super) fn binary(&mut self, op: BinaryOp, start: usize) -> Result<(), SourceError> {
        let mut matching = Matching::default();
        if op.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let return_bool = self.take_keyword("bool");
        let mut has_matching = false;
        for keyword in ["on", "ignoring"] {
            if !has_matching && self.cursor.is_keyword(keyword) {
                self.cursor.next();
                matching.on = keyword == "on";
                matching.labels = selector::grouping_labels(self.cursor)?;
                has_matching = true;
            }
        }
        let group = [
            ("group_left", Cardinality::ManyToOne),
            ("group_right", Cardinality::OneToMany),
        ];
        for (keyword, cardinality) in group {
            if !self.cursor.is_keyword(keyword) {
                continue;
            }
            let span = self.cursor.next().span;
            if !has_matching {
                return Err(SourceError::new(span, format!("unexpected <{keyword}>")));
            }
            matching.cardinality = cardinality;
            if self.cursor.is(&TokenKind::LeftParen) {
                matching.include = selector::grouping_labels(self.cursor)?;
            }
            break;
        }
        self.fills(&mut matching)?;
        let atom = BinaryAtom {
            op,
            return_bool,
            matching,
        };
        self.push(AtomKind::Binary(Box::new(atom)), start);
        Ok(())
    }

    pub(super) fn fills(&mut self, matching: &mut Matching) -> Result<(), SourceError> {
        loop {
            let word = self.cursor.word().unwrap_or("").to_ascii_lowercase();
            let (left, right) = match word.as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => return Ok(()),
            };
            // Without a parenthesis it is a metric of that name.
            if self.cursor.ahead(1).kind != TokenKind::LeftParen {
                return Ok(());
            }
            let span = self.cursor.next().span;
            if !self.features.fill_modifiers {
                let span = Span { start: 0, ..span };
                return Err(SourceError::new(
                    span,
                    "binop fill modifiers are experimental and not enabled",
                ));
            }
            if (left && matching.fill_left.is_some()) || (right && matching.fill_right.is_some()) {
                return Err(SourceError::new(span, format!("unexpected <{word}>")));
            }
            self.cursor.next();
            let minus = self.cursor.take(&TokenKind::Sub);
            if !minus {
                self.cursor.take(&TokenKind::Add);
            }
            let value = match self.cursor.peek().kind {
                TokenKind::Number(value) => value,
                TokenKind::Duration(ms) => ms as f64 / 1000.0,
                _ => return Err(self.cursor.unexpected("in fill value, expected number")),
            };
            self.cursor.next();
            self.cursor
                .expect(&TokenKind::RightParen, ")", "fill value")?;
            let value = if minus { -value } else { value };
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
    }
}
