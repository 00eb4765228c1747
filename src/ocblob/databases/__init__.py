"""Where rows are. A database knows cells and bytes; what they mean is the host profile's business."""
