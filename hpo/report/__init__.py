"""What a study found: figures, words, plots and the best config."""
