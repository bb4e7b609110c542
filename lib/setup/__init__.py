"""Install, doctor, Colab."""
