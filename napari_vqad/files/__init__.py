"""Reading files that nobody vouches for: regular files alone, and no more of them than is stated in `limits`."""
