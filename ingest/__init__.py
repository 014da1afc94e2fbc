"""The front doors: request bodies become frames on partitioned streams."""
