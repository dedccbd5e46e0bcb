"""What earlier retrainings left, and how a champion is judged again."""
