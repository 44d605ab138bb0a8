"""What is shown, without a toolkit: views, scales, colours, words, read-out."""
