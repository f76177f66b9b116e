//! What both eras can say, in the words of each.

#[cfg(test)]
mod there_and_back;
