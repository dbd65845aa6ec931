"""Jobs as folders: queue, order, stop, what a new page finds, and what ends without a word."""
