"""What is displayed, independent of any GUI toolkit: views, scales, colours, texts, read-out."""
