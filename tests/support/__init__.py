"""What several tests share: foreign events, service processes, waiting."""
