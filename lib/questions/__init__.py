"""What is asked: questions, their splits, the authors' released files."""
