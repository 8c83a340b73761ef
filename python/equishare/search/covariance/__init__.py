"""The search for the group that permutes the variables of a covariance."""
