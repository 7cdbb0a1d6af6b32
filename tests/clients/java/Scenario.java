import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** A method that test_java.py runs in a process of its own, where it may warn of nothing. */
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@interface Scenario {
	/**
	 * What a client has to say of an error that the scenario causes: in each line that it
	 * logs.
	 */
	String says() default "";
}
