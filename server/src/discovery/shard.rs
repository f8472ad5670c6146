//! Which targets are this process' own, where several share them: `--shard.count` and `--shard.index`.
//!
//! By rendezvous hashing of a target as relabelling has left it: each shard has a score for it, and the highest has the
//! target. So all processes agree without talking, and where the count changes from n to n + 1 only one target in n + 1 moves.
//! Relabelling's own `hashmod` goes before it.

use twox_hash::XxHash64;

use crate::scrape::Target;

/// One of several processes that share their targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// More processes are not a plan but a mistake.
const COUNT_MAX: u32 = 10_000;

impl Shard {
    /// From the flags; without an index it is the number at the end of the host's name, as pods of a StatefulSet have it.
    /// `None`: all targets are this process'. Error: what is wrong with the flags.
    pub fn of_flags(count: &str, index: &str, hostname: &str) -> Result<Option<Shard>, String> {
        if count.is_empty() {
            return match index.is_empty() {
                true => Ok(None),
                false => Err("--shard.index needs --shard.count".to_owned()),
            };
        }
        let refuse =
            |flag: &str, text: &str| format!("--shard.{flag}: {text:?} is not a whole number");
        let count: u32 = count.parse().map_err(|_| refuse("count", count))?;
        if count == 0 || count > COUNT_MAX {
            return Err(format!(
                "--shard.count: {count} is not from 1 to {COUNT_MAX}"
            ));
        }
        let index: u32 = match index {
            "" => {
                let ordinal = hostname
                    .rsplit_once('-')
                    .and_then(|(_, ordinal)| ordinal.parse().ok());
                ordinal.ok_or_else(|| {
                    format!("--shard.index is not given, and the host's name {hostname:?} does not end in one, like NAME-0")
                })?
            }
            given => given.parse().map_err(|_| refuse("index", given))?,
        };
        if index >= count {
            return Err(format!(
                "--shard.index: {index} is not below --shard.count {count}"
            ));
        }
        Ok(Some(Shard { index, count }))
    }

    /// Whether a target is this process' own.
    pub(super) fn owns(self, target: &Target) -> bool {
        let key = format!("{} {}", target.url, target.labels);
        owner(key.as_bytes(), self.count) == self.index
    }
}

/// The shard with the highest score for a key.
fn owner(key: &[u8], count: u32) -> u32 {
    let score = |shard: &u32| XxHash64::oneshot(u64::from(*shard), key);
    (0..count).max_by_key(score).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_a_shard() {
        let shard = |index, count| Ok(Some(Shard { index, count }));
        for (count, index, host, says) in [
            ("", "", "x", Ok(None)),
            ("4", "2", "x", shard(2, 4)),
            ("4", "", "stillwell-3", shard(3, 4)),
            ("4", "", "a-b-0", shard(0, 4)),
            ("", "1", "x", Err("--shard.index needs")),
            ("4", "", "stillwell", Err("does not end in one")),
            ("4", "", "stillwell-4", Err("not below")),
            ("0", "0", "x", Err("not from 1")),
            ("x", "0", "x", Err("not a whole number")),
            ("4", "-1", "x", Err("not a whole number")),
        ] {
            match (Shard::of_flags(count, index, host), says) {
                (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
                (got, want) => assert_eq!(got.ok(), want.ok(), "{count} {index} {host}"),
            }
        }
    }

    #[test]
    fn shares_are_even_and_little_moves_when_one_is_added() {
        let keys: Vec<String> = (0..10_000)
            .map(|key| format!("http://10.0.0.{key}/metrics"))
            .collect();
        let owners = |count| -> Vec<u32> {
            keys.iter()
                .map(|key| owner(key.as_bytes(), count))
                .collect()
        };
        let (four, five) = (owners(4), owners(5));
        for shard in 0..4 {
            let share = four.iter().filter(|one| **one == shard).count();
            assert!((2_300..2_700).contains(&share), "{shard}: {share}");
        }
        let moved = four
            .iter()
            .zip(&five)
            .filter(|(before, after)| before != after);
        let moved: Vec<u32> = moved.map(|(_, after)| *after).collect();
        assert!((1_800..2_200).contains(&moved.len()), "{}", moved.len());
        assert!(
            moved.iter().all(|after| *after == 4),
            "all of them go to the new one"
        );
    }
}
