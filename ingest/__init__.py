"""The ingest role: requests at the front doors become frames on partitioned streams."""
